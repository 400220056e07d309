/** The configuration of an edge that is about to start, read by code that `dropStartCode` drops once it serves. */
import { errorsUntilServing } from "../base/config/errors-until-serving.ts";
import { runForStart } from "../base/system/start-code.ts";
import type { LoadedConfiguration } from "../edge/config/load-with-plugins.ts";

/**
 * What the file says. What reads it is dropped but for what the edge needs too: so `edge/edge.ts` is loaded before this is called, where the
 * edge will run in this process. @throws ConfigurationError
 */
export function loadForStart(file: string): Promise<LoadedConfiguration> {
  return runForStart(async () => {
    const { loadConfiguration } = await import("../edge/config/load-with-plugins.ts");
    const loaded = await loadConfiguration(file);
    return { ...loaded, errorAt: errorsUntilServing(loaded.errorAt) };
  });
}
