/** The same plugins under Deno, from anywhere. */
import { expect, test } from "bun:test";
import { resolve } from "node:path";
import { folderOf, MINIMAL } from "./support.ts";

const ROOT = resolve(import.meta.dir, "../../..");
const SHIPPED = ["static", "pkcs11", "openbao", "aws-kms", "nats", "amqp", "orbital"];

test("every shipped plugin loads under Deno, and one that lies elsewhere; what no pin covers is found there too", () => {
  using folder = folderOf({
    "plugin/plugin.ts": MINIMAL,
    "other/plugin.ts": "const name = './a.ts';\n// dlopen\nawait import(name);\n",
    "host.ts": `
      import { loadPlugins } from ${JSON.stringify(`${ROOT}/src/edge/plugin-host/loader.ts`)};
      import { unseenCodeOf } from ${JSON.stringify(`${ROOT}/src/edge/plugin-host/unseen-code.ts`)};
      import process from "node:process";
      const log = { info() {}, warn() {}, error() {} };
      const loaded = await loadPlugins(process.argv.slice(2), "/", log);
      console.log(JSON.stringify(loaded.plugins.map(({ plugin }) => plugin.name)));
      const unseen = [...process.argv.slice(2), import.meta.dirname + "/other"].flatMap((path) => unseenCodeOf(path));
      console.log(JSON.stringify(unseen.map(({ allowance, line }) => [allowance, line])));
    `,
  });
  const paths = [...SHIPPED.map((name) => `${ROOT}/plugins/${name}`), `${folder.path}/plugin`];
  const { stdout, stderr, exitCode } = Bun.spawnSync(
    [
      `${ROOT}/node_modules/.bin/deno`,
      "run",
      "-A",
      "--config",
      `${ROOT}/deno.json`,
      `${folder.path}/host.ts`,
      ...paths,
    ],
    { cwd: ROOT },
  );
  expect({ exitCode, stderr: exitCode === 0 ? "" : stderr.toString() }).toEqual({ exitCode: 0, stderr: "" });
  const [names, unseen] = stdout.toString().split("\n", 2);
  expect(JSON.parse(names!)).toEqual([...SHIPPED, "minimal"]);
  expect(JSON.parse(unseen!)).toEqual([["computed_imports", 3]]);
}, 300_000);
