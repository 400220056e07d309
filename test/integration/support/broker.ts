import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A real broker process on a free loopback port, in a folder of its own. */
export interface Broker {
  readonly port: number;
  readonly folder: string;
  /** As a crash: no goodbye. Resolves when the process is gone. */
  kill(): Promise<void>;
  /** Starts it again with the same port and data; resolves when it answers. */
  start(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export function makeFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "crypto-edge-broker-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true, maxRetries: 5 }) };
}
