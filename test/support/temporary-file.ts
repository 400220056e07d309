import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A file in a folder of its own, for as long as one test needs it. */
export function makeTemporaryFile(name: string, content: string | Uint8Array, mode = 0o600) {
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-file-"));
  const path = join(folder, name);
  writeFileSync(path, content, { mode });
  return { path, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}
