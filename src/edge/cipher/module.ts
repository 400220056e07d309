import { LOG, type Module, type Resolve, STOPPING, token } from "../../base/module.ts";
import { CLOCK } from "../../base/time/clock.ts";
import type { Cipher, CipherAdapter, TakeMemory } from "./cipher.ts";
import { createFreedKeyOverwriter } from "./freed-keys.ts";
import type { CipherFactory } from "./open-cipher.ts";
import { watchForResumption } from "./resumption.ts";
import { createCipher } from "./sessions.ts";

export const CIPHER = token<Cipher>("Cipher");

export interface CipherSettings {
  /** `auto`, or the name of a cipher of the edge's or of a plugin. */
  readonly use: string;
  readonly requireFips: boolean;
  /** The error for a choice that this machine can't have, with its place in the configuration. */
  readonly errorFor: (message: string) => Error;
}
export const CIPHER_SETTINGS = token<CipherSettings>("CipherSettings");

/** Of plugins, by name. */
export const CONTRIBUTED_CIPHERS = token<Readonly<Record<string, CipherFactory>>>("ContributedCiphers");

/** Memory for what is secret, outside the runtime's heap. */
export const CIPHER_MEMORY = token<TakeMemory>("CipherMemory");

/** The cipher that `cipher.use` names, over its adapter; renewed when the machine may have been resumed from a snapshot. */
export const cipherModule: Module<Cipher> = {
  token: CIPHER,
  async make(get) {
    const log = get(LOG);
    const clock = get(CLOCK);
    const adapter = await openConfigured(get);
    log.info({ cipher: adapter.name, library: adapter.library, fips: adapter.fips }, "the cipher passed its tests");
    const cipher = createCipher(
      adapter.name === "node" ? { adapter, onWiped: createFreedKeyOverwriter(clock) } : { adapter },
    );
    watchForResumption(clock, get(STOPPING), () => {
      cipher.renew();
      log.warn("The clock jumped, as after a suspension or a snapshot: wrapping sessions draw new salts.");
    });
    return cipher;
  },
};

/** By itself, so that what the cipher keeps does not keep what opens it. */
async function openConfigured(get: Resolve): Promise<CipherAdapter> {
  const { use, requireFips, errorFor } = get(CIPHER_SETTINGS);
  const log = get(LOG);
  const { CIPHERS, CipherUnavailableError, openCipher } = await import("./open-cipher.ts");
  return openCipher({
    use,
    requireFips,
    ciphers: { ...CIPHERS, ...get(CONTRIBUTED_CIPHERS) },
    takeMemory: get(CIPHER_MEMORY),
    warn: (message) => log.warn(message),
  }).catch((error: unknown) => {
    throw error instanceof CipherUnavailableError ? errorFor(error.message) : error;
  });
}
