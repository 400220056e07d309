import { execFile } from "node:child_process";
import { promisify } from "node:util";

/**
 * `openssl speed -evp aes-256-gcm -bytes 32` encryptions of 32 bytes per second of processor time. The limit of what any
 * program can do here: one context made ready once, no additional data, no new nonce, no tag.
 */
export async function opensslGcmPerSecond(): Promise<number> {
  const { stdout } = await promisify(execFile)("openssl", [
    ..."speed -mr -evp aes-256-gcm -bytes 32 -seconds 1".split(" "),
  ]);
  return parseSpeed(stdout);
}

/** Reads the machine-readable answer's `+F:` line: the figure is in bytes per second. */
export function parseSpeed(output: string): number {
  const bytesPerSecond = Number(/^\+F:\d+:[^:]+:([\d.]+)$/m.exec(output)?.[1]);
  if (!(bytesPerSecond > 0)) throw new Error(`openssl speed printed no figure:\n${output}`);
  return bytesPerSecond / 32;
}
