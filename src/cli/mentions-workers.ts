/** A first look at a configuration, before what reads it is loaded. */
import { readFileSync, statSync } from "node:fs";

/** Whether the configuration might ask for workers, whose supervisor runs no edge itself. */
export function mentionsWorkers(config: string): boolean {
  if (process.env.CRYPTO_EDGE_WORKERS !== undefined) return true;
  try {
    return !statSync(config).isFile() || readFileSync(config, "utf8").includes("workers");
  } catch {
    // The reader of the configuration says what is wrong.
    return true;
  }
}
