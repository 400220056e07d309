/** The loader inside a compiled executable, which has no node_modules and no package `crypto-edge` anywhere near. */
import { expect, test } from "bun:test";
import { copyFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { folderOf, MINIMAL } from "./support.ts";

test("a compiled executable alone in a folder loads a TypeScript plugin that lies elsewhere", async () => {
  const loader = resolve(import.meta.dir, "../../../src/edge/plugin-host/loader.ts");
  const provide = resolve(import.meta.dir, "../../../src/sdk/plugin/provide.ts");
  using build = folderOf({
    "host.ts": `
      import ${JSON.stringify(provide)};
      import { loadPlugins } from ${JSON.stringify(loader)};
      const log = { info() {}, warn() {}, error() {} };
      const loaded = await loadPlugins(process.argv.slice(2), process.cwd(), log);
      console.log(JSON.stringify([...loaded.keySources.keys(), ...loaded.hooks.keys()]));
    `,
  });
  const compiled = Bun.spawnSync(
    [process.execPath, "build", "--compile", join(build.path, "host.ts"), "--outfile", join(build.path, "host")],
    { stdout: "pipe", stderr: "pipe" },
  );
  expect(compiled.stderr.toString()).not.toContain("error");

  using alone = folderOf({});
  using plugin = folderOf({
    "plugin.ts": `import "./more.ts"; ${MINIMAL}`,
    "more.ts": `import { Type } from "crypto-edge/plugin"; export const more: unknown = Type.String();`,
  });
  copyFileSync(join(build.path, "host"), join(alone.path, "host"));
  const shipped = resolve(import.meta.dir, "../../../plugins/static");
  const run = Bun.spawnSync([join(alone.path, "host"), plugin.path, shipped], { cwd: alone.path, env: {} });
  expect(run.stderr.toString()).toBe("");
  expect(JSON.parse(run.stdout.toString())).toEqual(["static", "minimal"]);
}, 300_000);
