import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { PluginLog } from "../../../src/edge/plugin-host/plugin.ts";

export const QUIET: PluginLog = { info() {}, warn() {}, error() {} };

/** A folder of its own with the given files, gone when the scope ends. */
export function folderOf(files: Readonly<Record<string, string>>): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "crypto-edge-plugin-"));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true, mode: 0o755 });
    writeFileSync(join(path, name), content, { mode: 0o644 });
  }
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** The smallest plugin there is. */
export const MINIMAL = `
import { contribution, definePlugin, Section } from "crypto-edge/plugin";
export default definePlugin({
  name: "minimal",
  apiVersion: 1,
  hooks: { minimal: contribution({ configuration: Section({}), create: () => ({}) }) },
});
`;
