import { LOG, type Module, token } from "../../base/module.ts";
import { CLOCK } from "../../base/time/clock.ts";
import type { KeySource } from "./key-source.ts";

export const KEY_SOURCE = token<KeySource>("KeySource");

/** The sources that the configuration names, in the order of asking: the Core's, or of plugins. At least one. */
export const CHOSEN_KEY_SOURCES = token<readonly KeySource[]>("ChosenKeySources");

/** How long all sources of a chain together may take: a little less than the lease cache waits for one answer. */
const CHAIN_TIMEOUT_MS = 4_500;

/** The one source that is chosen; a chain where it is several. */
export const keySourceModule: Module<KeySource> = {
  token: KEY_SOURCE,
  async make(get) {
    const sources = get(CHOSEN_KEY_SOURCES);
    const [first] = sources;
    if (sources.length === 1 && first !== undefined) return first;
    const { createChain } = await import("./chain.ts");
    return createChain({
      sources,
      clock: get(CLOCK),
      attemptTimeoutMs: CHAIN_TIMEOUT_MS / sources.length,
      onCircuit: (source, state, reason) => get(LOG).warn({ source, state, reason }, "a key source of the chain"),
    });
  },
};
