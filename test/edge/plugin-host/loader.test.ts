import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, relative, resolve } from "node:path";
import { loadPlugin, loadPlugins } from "../../../src/edge/plugin-host/loader.ts";
import { PluginError, type PluginErrorCode } from "../../../src/edge/plugin-host/plugin-error.ts";
import { hashPlugin } from "../../../src/edge/plugin-host/trust.ts";
import { type Allowance, unseenCodeOf } from "../../../src/edge/plugin-host/unseen-code.ts";
import { folderOf, MINIMAL, QUIET } from "./support.ts";

const REPOSITORY = resolve(import.meta.dir, "../../..");
const AS_ROOT = process.getuid?.() === 0;

async function refusal(entry: Parameters<typeof loadPlugin>[0]): Promise<PluginError> {
  const error = await loadPlugin(entry, "/").then(
    () => undefined,
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(PluginError);
  return error as PluginError;
}

async function expectRefusal(code: PluginErrorCode, source: string, ...texts: string[]): Promise<void> {
  using folder = folderOf({ "plugin.ts": source });
  const error = await refusal(folder.path);
  expect(error.code).toBe(code);
  expect(error.message).toStartWith(`${folder.path}: `);
  for (const text of texts) expect(error.message).toContain(text);
}

test("a folder, a file of it, and a folder with package.json exports each load", async () => {
  using folder = folderOf({
    "plugin.ts": MINIMAL,
    "other/package.json": JSON.stringify({ exports: { ".": "./main.js" } }),
    "other/main.js": MINIMAL,
  });
  for (const path of [".", "plugin.ts", "other"]) {
    const { plugin } = await loadPlugin(path, folder.path);
    expect(plugin.name).toBe("minimal");
  }
});

test("a plugin's relative imports and its own node_modules load, away from any crypto-edge package", async () => {
  using folder = folderOf({
    "plugin.ts": `import { extra } from "./extra.ts"; import word from "word"; ${MINIMAL.replace('"minimal",\n', '"minimal", version: word + extra,\n')}`,
    "extra.ts": `import { KeySourceError } from "crypto-edge/plugin"; export const extra: string = KeySourceError.name;`,
    "node_modules/word/package.json": JSON.stringify({ name: "word", main: "index.js" }),
    "node_modules/word/index.js": `module.exports = "word of ";`,
  });
  const { plugin } = await loadPlugin(folder.path, "/");
  expect(plugin.version).toBe("word of KeySourceError");
});

test("the plugin's classes are the edge's own, even beside another copy in its node_modules", async () => {
  using folder = folderOf({
    "plugin.ts": `import { KeySourceError } from "crypto-edge/plugin"; ${MINIMAL.replace("create: () => ({})", "create: () => new KeySourceError('unavailable', 'x')")}`,
    "node_modules/crypto-edge/package.json": JSON.stringify({ name: "crypto-edge", exports: { "./plugin": "./p.js" } }),
    "node_modules/crypto-edge/p.js": `export const KeySourceError = Error, contribution = 0, definePlugin = 0, Section = 0;`,
  });
  const { plugin } = await loadPlugin(folder.path, "/");
  const { KeySourceError } = await import("../../../src/edge/key-source/key-source.ts");
  expect(plugin.hooks?.minimal?.create({}, undefined as never)).toBeInstanceOf(KeySourceError);
});

test("every shipped plugin that is named loads by the path that the documentation gives", async () => {
  const loaded = await loadPlugins(["./plugins/static"], REPOSITORY, QUIET);
  expect([...loaded.keySources.keys()]).toEqual(["static"]);
});

test("nothing at the path, an empty folder, and a file of another kind say what to name instead", async () => {
  expect((await refusal("/nowhere/at/all")).message).toContain("Correct the path");
  using folder = folderOf({ "readme.txt": "" });
  expect((await refusal(folder.path)).message).toContain("nor a plugin.ts");
  expect((await refusal(join(folder.path, "readme.txt"))).message).toContain(".ts or .js file");
});

test("code that does not load is told with its cause, its place, and what to do", async () => {
  await expectRefusal("not_loadable", "const = 1;", "plugin.ts", "does not load");
  await expectRefusal("not_loadable", `throw new Error("no licence");`, "no licence");
  await expectRefusal("not_loadable", `import "not-there"; ${MINIMAL}`, "not-there", "npm install");
});

test("another interface version is refused before anything else is looked at", async () => {
  await expectRefusal("wrong_version", "export default { apiVersion: 2, what: 1 };", "version 2", "newer crypto-edge");
  await expectRefusal("wrong_version", "export default { apiVersion: 0 };", "newer release of the plugin");
  await expectRefusal("wrong_version", `export default { name: "x" };`, "apiVersion: 1");
});

test("what is no plugin says which part is wrong", async () => {
  const plugin = (rest: string): string => `export default { name: "x", apiVersion: 1, ${rest} };`;
  const good = `configuration: { type: "object" }, create() {}`;
  await expectRefusal("not_a_plugin", "export const plugin = 1;", "export default definePlugin");
  await expectRefusal("not_a_plugin", plugin(""), "contributes nothing");
  await expectRefusal("not_a_plugin", plugin(`hook: {}`), `"hook"`, "hooks");
  await expectRefusal("not_a_plugin", plugin(`hooks: { a: {} }`), "hooks.a", "create");
  await expectRefusal("not_a_plugin", plugin(`hooks: { a: { create() {} } }`), "hooks.a.configuration");
  await expectRefusal("not_a_plugin", plugin(`hooks: { "A b": { ${good} } }`), "lower-case");
  await expectRefusal("not_a_plugin", `export default { name: "X Y", apiVersion: 1 };`, "lower-case");
  await expectRefusal("name_taken", plugin(`keySources: { core: { ${good} } }`), "edge's own");
});

test("two plugins with a contribution of one name are refused, both paths told", async () => {
  using one = folderOf({ "plugin.ts": MINIMAL });
  using two = folderOf({ "plugin.ts": MINIMAL });
  const error = await loadPlugins([one.path, two.path], "/", QUIET).catch((caught: unknown) => caught);
  expect((error as PluginError).code).toBe("name_taken");
  expect((error as PluginError).message).toContain(one.path);
  expect((error as PluginError).message).toContain(two.path);
});

test("a plugin that its group or others could write is refused, file or folder, with the command that mends it", async () => {
  for (const [name, mode] of [
    ["plugin.ts", 0o664],
    ["plugin.ts", 0o646],
    ["lib", 0o777],
    [".", 0o775],
  ] as const) {
    using folder = folderOf({ "plugin.ts": MINIMAL, "lib/a.ts": "" });
    chmodSync(join(folder.path, name), mode);
    const error = await refusal(folder.path);
    expect(error.code).toBe("not_trusted");
    expect(error.message).toContain("chmod -R go-w");
  }
});

test("a folder above the plugin that others could write is refused too, unless it is sticky", async () => {
  using folder = folderOf({ "inner/plugin.ts": MINIMAL });
  chmodSync(folder.path, 0o777);
  expect((await refusal(join(folder.path, "inner"))).code).toBe("not_trusted");
  chmodSync(folder.path, 0o1777);
  await loadPlugin("inner", folder.path);
});

test.skipIf(!AS_ROOT)("a plugin of another user is refused, unless the configuration names that user", async () => {
  using folder = folderOf({ "plugin.ts": MINIMAL });
  chownSync(join(folder.path, "plugin.ts"), 12345, 12345);
  const error = await refusal(folder.path);
  expect(error.code).toBe("not_trusted");
  expect(error.message).toContain("12345");
  await loadPlugin({ path: folder.path, owner: 12345 }, "/");
});

test("a link to a file that others could write is refused", async () => {
  using outside = folderOf({ "a.ts": "" });
  chmodSync(join(outside.path, "a.ts"), 0o666);
  using folder = folderOf({ "plugin.ts": MINIMAL });
  symlinkSync(join(outside.path, "a.ts"), join(folder.path, "a.ts"));
  expect((await refusal(folder.path)).code).toBe("not_trusted");
});

test("a pinned plugin runs as it was pinned, and does not run with a byte changed, added or renamed", async () => {
  using folder = folderOf({ "plugin.ts": MINIMAL, "data/a": "1", "node_modules/x/index.js": "" });
  const entry = { path: folder.path, sha256: hashPlugin(folder.path) };
  await loadPlugin(entry, "/");

  writeFileSync(join(folder.path, "node_modules/x/index.js"), "1;");
  const error = await refusal(entry);
  expect(error.code).toBe("changed");
  expect(error.message).toContain(hashPlugin(folder.path));

  writeFileSync(join(folder.path, "node_modules/x/index.js"), "");
  await loadPlugin(entry, "/");
  mkdirSync(join(folder.path, "data/b"));
  writeFileSync(join(folder.path, "data/b/c"), "");
  expect((await refusal(entry)).code).toBe("changed");
});

describe("a pinned plugin's code that the pin does not cover is refused, with its line, unless the entry allows it", () => {
  for (const [code, allowance] of Object.entries<Allowance>({
    "await import(name);": "computed_imports",
    "await import(`./${name}.ts`);": "computed_imports",
    'await import("./a" + name);': "computed_imports",
    "require(name);": "computed_imports",
    "import.meta.require(name);": "computed_imports",
    "new Worker(name);": "computed_imports",
    'import { createRequire } from "node:module"; createRequire(name);': "computed_imports",
    "process.getBuiltinModule('module').createRequire(name);": "computed_imports",
    'import { dlopen } from "bun:ffi"; dlopen(name);': "native_code",
    'const { cc } = await import("bun:ffi"); cc(name);': "native_code",
    "process.dlopen({ exports: {} }, name);": "native_code",
  })) {
    test(code, async () => {
      using folder = folderOf({
        "plugin.ts": MINIMAL,
        "b.ts": `const name = "x";\n// import(name)\nexport async function run() { ${code} }\n`,
      });
      // An import stands outside of functions.
      if (code.startsWith("import {")) writeFileSync(join(folder.path, "b.ts"), `const name = "x";\n\n${code}\n`);
      const entry = { path: folder.path, sha256: hashPlugin(folder.path) };
      const error = await refusal(entry);
      expect(error.code).toBe("not_trusted");
      expect(error.message).toMatch(new RegExp(`/b\\.ts:3 .*"allow: \\[${allowance}\\]"`));
      await loadPlugin({ ...entry, allow: [allowance] }, "/");
      const other = allowance === "native_code" ? "computed_imports" : "native_code";
      expect((await refusal({ ...entry, allow: [other] })).code).toBe("not_trusted");
      // Without a pin it is as it was: who could have written the files is all that is judged.
      await loadPlugin(folder.path, "/");
    });
  }
});

test("a pinned plugin may import whatever can be read: names in one piece, types, workers beside it; its packages are as they are", async () => {
  using folder = folderOf({
    "plugin.ts": `// import(name), require(name), dlopen(name)
/* and import(
 * name) */
import type { A } from "./a.ts";
type B = import("./a.ts").B;
export const load = async (isIt: boolean, a: A, b: B) => [
  a, b, await import("./a.ts"), await import(\`./a.ts\`), await import(isIt ? "./a.ts" : "./b.ts"), await import(/* it */ "./b.ts"),
  await import("./c.json", { with: { type: "json" } }), new Worker(new URL("./b.ts", import.meta.url)), new Worker("./b.ts"), { module: "module" },
];
${MINIMAL}`,
    "a.ts": "export type A = 1; export type B = 2;",
    "b.ts": "",
    "c.json": "{}",
    "node_modules/x/index.js": "module.exports = (name) => require(name);",
  });
  await loadPlugin({ path: folder.path, sha256: hashPlugin(folder.path) }, "/");
});

test("the plugins that come with the edge need no allowance", () => {
  const plugins = join(import.meta.dir, "../../../plugins");
  expect(readdirSync(plugins).flatMap((name) => unseenCodeOf(join(plugins, name)))).toEqual([]);
});

test("a pin refuses a link that leads out of the plugin, which it could not cover", async () => {
  using outside = folderOf({ "a.ts": "" });
  using folder = folderOf({ "plugin.ts": MINIMAL });
  symlinkSync(join(outside.path, "a.ts"), join(folder.path, "a.ts"));
  expect(() => hashPlugin(folder.path)).toThrow(/outside the plugin/);
});

describe("what a plugin imports from outside its folder must be trusted like the plugin", () => {
  const importing = (from: string): string => `import "${from}";\n${MINIMAL}`;
  const writable = (path: string): void => chmodSync(path, 0o666);

  test("a file that is named by its path", async () => {
    using outside = folderOf({ "a.ts": 'import "./b.ts";', "b.ts": "export {};" });
    using folder = folderOf({ "plugin.ts": importing(join(outside.path, "a.ts")) });
    await loadPlugin(folder.path, "/");
    writable(join(outside.path, "b.ts"));
    const { code, message } = await refusal(folder.path);
    expect(code).toBe("not_trusted");
    expect(message).toContain(`${join(outside.path, "b.ts")} is writable by its group and others`);
  });

  test("however it is written", async () => {
    using outside = folderOf({ "a.ts": "export {};" });
    const file = join(outside.path, "a.ts");
    writable(file);
    for (const code of [
      `import /* a comment */ "${file}";`,
      `import "file://${file}";`,
      `import "${file}?query";`,
      `await import(new URL("${relative("PLUGIN", file)}", import.meta.url).href);`,
      `new Worker(new URL("file://${file}", import.meta.url));`,
      `export * from
         "${file}";`,
      `import.meta.require("${file}");`,
      `import { createRequire } from "node:module"; const load = createRequire(import.meta.url); load("${file}");`,
      `const file = "${file}"; await import(file);`,
      `new Worker(process.argv0 ? "${file}" : "./other.ts");`,
      `import "${file.replace(/ts$/, "js")}";`,
    ]) {
      using folder = folderOf({ "plugin.ts": "" });
      const written = code.replace(relative("PLUGIN", file), relative(realpathSync(folder.path), file));
      writeFileSync(join(folder.path, "plugin.ts"), `${written}\n${MINIMAL}`);
      expect([code, (await refusal(folder.path)).message]).toEqual([
        code,
        expect.stringContaining(`${file} is writable`),
      ]);
    }
  });

  test("by a package.json's imports, or by a package that does not say that it needs it", async () => {
    using world = folderOf({
      "node_modules/hidden/index.js": "",
      "by-imports/package.json": '{ "imports": { "#hidden": "hidden" }, "exports": "./plugin.ts" }',
      "by-imports/plugin.ts": `import "#hidden"; ${MINIMAL}`,
      "by-package/plugin.ts": `import "honest"; ${MINIMAL}`,
      "by-package/node_modules/honest/package.json": '{ "name": "honest", "main": "index.js" }',
      "by-package/node_modules/honest/index.js": 'require("hidden");',
    });
    writable(join(world.path, "node_modules/hidden/index.js"));
    for (const name of ["by-imports", "by-package"]) {
      expect([name, (await refusal(join(world.path, name))).message]).toEqual([
        name,
        expect.stringContaining("hidden/index.js is writable"),
      ]);
    }
  });

  test("by a folder whose package.json says what its main file is", async () => {
    using world = folderOf({
      "lib/package.json": '{ "main": "real.js" }',
      "lib/real.js": "",
      "plugin/plugin.ts": importing("../lib"),
    });
    writable(join(world.path, "lib/real.js"));
    expect((await refusal(join(world.path, "plugin"))).message).toContain("lib/real.js is writable");
  });

  test("by the compiler's settings above it, which can replace what the program itself gives", async () => {
    const settings = (paths: object): string => JSON.stringify({ compilerOptions: { paths } });
    using world = folderOf({
      "tsconfig.json": settings({ "crypto-edge/plugin": ["./other.ts"] }),
      "other.ts": "export const Type = 1;",
      "plugin/plugin.ts": `import { Type } from "crypto-edge/plugin"; export const type = Type;\n${MINIMAL}`,
    });
    const plugin = join(world.path, "plugin");
    writable(join(world.path, "other.ts"));
    expect((await refusal(plugin)).message).toContain("other.ts is writable");
    using other = folderOf({ "tsconfig.json": settings({}), "plugin/plugin.ts": MINIMAL });
    await loadPlugin(join(other.path, "plugin"), "/");
    writable(join(other.path, "tsconfig.json"));
    expect((await refusal(join(other.path, "plugin"))).message).toContain("tsconfig.json is writable");
  });

  test("by NODE_PATH", () => {
    using world = folderOf({
      "elsewhere/hidden/index.js": "",
      "plugin/plugin.ts": `import "hidden"; ${MINIMAL}`,
    });
    writable(join(world.path, "elsewhere/hidden/index.js"));
    const { stderr } = Bun.spawnSync(
      [process.execPath, join(REPOSITORY, "src/main.ts"), "plugin", "check", join(world.path, "plugin")],
      { env: { ...process.env, NODE_PATH: join(world.path, "elsewhere") } },
    );
    expect(stderr.toString()).toContain("hidden/index.js is writable");
  });

  test("an entry that its package.json puts outside the folder is refused", async () => {
    using world = folderOf({
      "elsewhere.ts": MINIMAL,
      "plugin/package.json": '{ "exports": "../elsewhere.ts" }',
    });
    expect((await refusal(join(world.path, "plugin"))).message).toContain("outside its folder");
  });

  test("a package in a node_modules above, and what it depends on", async () => {
    using world = folderOf({
      "node_modules/one/package.json": '{ "name": "one", "main": "index.js", "dependencies": { "@x/two": "1" } }',
      "node_modules/one/index.js": "",
      "node_modules/@x/two/package.json": '{ "name": "@x/two" }',
      "node_modules/@x/two/deep/file.js": "",
      "plugin/plugin.ts": importing("one"),
    });
    const plugin = join(world.path, "plugin");
    await loadPlugin(plugin, "/");
    writable(join(world.path, "node_modules/@x/two/deep/file.js"));
    expect((await refusal(plugin)).message).toContain("node_modules/@x/two/deep/file.js is writable");
  });

  test("the folder that a link's target lies in", async () => {
    using outside = folderOf({ "there/a.ts": "" });
    using folder = folderOf({ "plugin.ts": MINIMAL });
    symlinkSync(join(outside.path, "there/a.ts"), join(folder.path, "a.ts"));
    await loadPlugin(folder.path, "/");
    chmodSync(join(outside.path, "there"), 0o777);
    expect((await refusal(folder.path)).message).toContain(`${join(outside.path, "there")} is writable`);
  });

  test("a pin refuses all of it, which it could not cover", () => {
    using outside = folderOf({ "a.ts": "" });
    using folder = folderOf({ "plugin.ts": importing(join(outside.path, "a.ts")) });
    expect(() => hashPlugin(folder.path)).toThrow(/imports .*a\.ts, outside the plugin/);
  });
});

test("a pin leaves out the folders that hold data, as the pinned package.json names them, and bears no code there", async () => {
  const manifest = (data: readonly string[]): string =>
    JSON.stringify({ exports: "./plugin.ts", "crypto-edge": { data } });
  using folder = folderOf({ "plugin.ts": MINIMAL, "package.json": manifest(["keys"]), "keys/1": "a" });
  const entry = { path: folder.path, sha256: hashPlugin(folder.path) };
  await loadPlugin(entry, "/");
  writeFileSync(join(folder.path, "keys/2"), "b");
  await loadPlugin(entry, "/");
  writeFileSync(join(folder.path, "keys/code.js"), "");
  expect((await refusal(entry)).message).toContain("is code in a folder of data");
  rmSync(join(folder.path, "keys/code.js"));
  writeFileSync(join(folder.path, "package.json"), manifest(["keys", "src"]));
  expect((await refusal(entry)).code).toBe("changed");
  for (const bad of ["..", "../x", "/x", ".", "node_modules", "node_modules/x", "a/../b"]) {
    writeFileSync(join(folder.path, "package.json"), manifest([bad]));
    expect(() => hashPlugin(folder.path)).toThrow("is not a list of names of folders");
  }
});

test("what is neither a file nor a folder is refused before it is read", async () => {
  using folder = folderOf({ "plugin.ts": MINIMAL });
  expect(Bun.spawnSync(["mkfifo", join(folder.path, "fifo")]).exitCode).toBe(0);
  expect((await refusal(folder.path)).message).toContain("is neither a file nor a folder");
  expect(() => hashPlugin(folder.path)).toThrow("is neither a file nor a folder");
});
