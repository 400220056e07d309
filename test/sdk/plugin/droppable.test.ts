import { expect, test } from "bun:test";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "../../..");

/** As `serve` does with a plugin that calls the library of schemas once more when the edge serves. */
const PROGRAM = `
  import { dropStartCode, runForStart } from "./src/base/system/start-code.ts";
  import "./src/sdk/plugin/provide.ts";
  const { Section, Type, Duration, LeaseTimes, leasableVersions } = await runForStart(() => import("crypto-edge/plugin"));
  const early = Section({ a: Type.Integer(), ttl: Duration({ default: "5m" }), ...LeaseTimes });
  const isLoaded = () => Object.keys(require.cache).some((address) => address.includes("/@sinclair/typebox/"));
  const loaded = [isLoaded()];
  dropStartCode();
  loaded.push(isLoaded());
  const late = Section({ a: Type.Integer(), ttl: Duration({ default: "5m" }), ...LeaseTimes });
  loaded.push(isLoaded());
  const versions = leasableVersions([{ version: 3, state: "active" }], undefined).map(({ version }) => version);
  console.log(JSON.stringify({ loaded, equal: Bun.deepEquals(early, late, true), versions }));
`;

test("the schemas of plugins leave with the start's code, and come back for a plugin that calls them later", async () => {
  const child = Bun.spawn([process.execPath, "-e", PROGRAM], { cwd: ROOT, stdout: "pipe", stderr: "inherit" });
  expect(JSON.parse(await new Response(child.stdout).text())).toEqual({
    loaded: [true, false, true],
    equal: true,
    versions: [3],
  });
}, 60_000);
