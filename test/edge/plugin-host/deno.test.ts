/** The same plugins under Deno, from anywhere. */
import { expect, test } from "bun:test";
import { resolve } from "node:path";
import { folderOf, MINIMAL } from "./support.ts";

const ROOT = resolve(import.meta.dir, "../../..");
const SHIPPED = ["static", "pkcs11", "openbao", "aws-kms", "nats", "amqp", "orbital"];

test("every shipped plugin loads under Deno, and one that lies elsewhere", () => {
  using folder = folderOf({
    "plugin/plugin.ts": MINIMAL,
    "host.ts": `
      import { loadPlugins } from ${JSON.stringify(`${ROOT}/src/edge/plugin-host/loader.ts`)};
      import process from "node:process";
      const log = { info() {}, warn() {}, error() {} };
      const loaded = await loadPlugins(process.argv.slice(2), "/", log);
      console.log(JSON.stringify(loaded.plugins.map(({ plugin }) => plugin.name)));
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
  expect(JSON.parse(stdout.toString())).toEqual([...SHIPPED, "minimal"]);
}, 300_000);
