import { expect, test } from "bun:test";
import { aloneTurns } from "../../../src/base/attempts.ts";
import { loadConfiguration } from "../../../src/edge/config/load-with-plugins.ts";
import { createContainer, TOKENS } from "../../../src/edge/container.ts";
import { folderOf } from "./support.ts";

const PLUGIN = `
import { contribution, definePlugin, KeySourceError, Section } from "crypto-edge/plugin";
export default definePlugin({
  name: "named",
  apiVersion: 1,
  keySources: {
    named: contribution({
      configuration: Section({}),
      create: (_section, { edgeId }) => ({
        name: edgeId,
        async lease() { throw new KeySourceError("unavailable", "nobody home"); },
        async close() {},
      }),
    }),
  },
});
`;

test("each worker goes by a name of its own at a plugin's peers: a broker's queue of one name gives each event to one of them", async () => {
  using folder = folderOf({
    "plugin.ts": PLUGIN,
    "edge.yaml": `
edge: { id: edge-1 }
key_source: { use: named, named: {} }
listeners: [{ http: "127.0.0.1:0", principal: local }]
policies: [{ principals: [local], tenants: ["*"], services: ["*"], operations: [create] }]
plugins: ["./plugin.ts"]
log: { level: error }
`,
  });
  const loaded = await loadConfiguration(`${folder.path}/edge.yaml`);
  const names: string[] = [];
  for (const index of [undefined, 1, 2, 3]) {
    const container = await createContainer(
      loaded,
      new AbortController().signal,
      [],
      index === undefined ? undefined : { index, turns: aloneTurns() },
    );
    names.push(container.resolve(TOKENS.keySource).name);
    container.resolve(TOKENS.leaseCache).close();
    container.resolve(TOKENS.keyMemory).close();
  }
  expect(names).toEqual(["edge-1", "edge-1", "edge-1.worker-2", "edge-1.worker-3"]);
});
