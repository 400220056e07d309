/** No body, of whatever shape, keeps the edge from its other callers: an edge of its own process, and how long its longest turn was. */
import { expect, test } from "bun:test";
import { resolve } from "node:path";

const root = resolve(import.meta.dir, "../../..");

/** A native door on a port, which tells on request how much processor time its longest turn has taken, in milliseconds. */
const SERVER = `
import { nativeParts, operations } from ${JSON.stringify(`${root}/test/edge/doors/native/world.ts`)};
import { createNativeDoors } from ${JSON.stringify(`${root}/src/edge/doors/native/door.ts`)};
import { DoorRoutes } from ${JSON.stringify(`${root}/src/edge/listeners/door-routes.ts`)};
import { listenOnPort } from ${JSON.stringify(`${root}/src/edge/listeners/plain-http.ts`)};
let longest = 0;
let before = process.cpuUsage();
const turn = () => {
  const now = process.cpuUsage();
  longest = Math.max(longest, (now.user - before.user) / 1000);
  before = now;
  setImmediate(turn);
};
turn();
const looks = {
  name: "looks", transport: "http", refuse: () => ({ status: 500, headers: {}, body: "" }),
  routes: [{ methods: ["GET"], path: "/longest", bodyBytesMax: 0, open: true, handle: () => { const body = String(longest); longest = 0; return { status: 200, headers: {}, body }; } }],
};
const native = createNativeDoors(nativeParts())({ administration: false });
const listener = await listenOnPort("127.0.0.1", 0, {
  principal: { kind: "listener", name: "local" },
  doors: new DoorRoutes([native, looks]),
  limits: { connectionsMax: 100, connectionsPerPrincipalMax: 100, requestsMax: 100, requestsPerCallerMax: 100, headerBytesMax: 16384, bodyBytesMax: 16 << 20, bodiesBytesMax: 256 << 20, requestTimeoutMs: 60000, idleTimeoutMs: 60000 },
  log: { info() {}, warn() {}, error() {} },
});
console.log(listener.address);
`;

const M = 1_000_000;
const OPEN = [
  "/v1/keys/decrypt-batch",
  "/v1/keys/rewrap-batch",
  "/v1/values/decrypt-batch",
  "/v1/values/encrypt-batch",
];
const SHAPES: Readonly<Record<string, () => string>> = {
  "empty items": () => `{"items":[${"[],".repeat(5 * M)}[]]}`,
  "objects without members": () => `{"items":[${"{},".repeat(5 * M)}{}]}`,
  "many members": () => `{${Array.from({ length: M }, (_, index) => `"${index}":1`).join()}}`,
  "one item of many members": () => `{"items":[{${Array.from({ length: M }, (_, index) => `"${index}":1`).join()}}]}`,
  "a deep nest": () => "[".repeat(16 * M),
  "a deep nest of objects": () => '{"a":'.repeat(3 * M),
  "one long text": () => `{"items":[{"wrapped":"${"A".repeat(15 * M)}"}]}`,
  escapes: () => `{"items":[{"wrapped":"${"\\u0041".repeat(2 * M)}"}]}`,
  space: () => " ".repeat(16 * M),
  numbers: () => `{"items":[${"1e1,".repeat(4 * M)}1]}`,
  "10,000 items with contexts": () =>
    `{"items":[${Array.from({ length: 10_000 }, (_, index) => `{"wrapped":"TDQB","context":{${Array.from({ length: 40 }, (_each, place) => `"k${place}":"v${index}"`).join()}}}`).join()}]}`,
};

test("is bounded by every body that may be sent", async () => {
  const child = Bun.spawn([process.execPath, "-e", SERVER], { stdout: "pipe", stderr: "inherit", cwd: root });
  try {
    const reader = child.stdout.getReader();
    const url = Buffer.from((await reader.read()).value!)
      .toString()
      .trim();
    const longest = async (): Promise<number> => Number(await (await fetch(`${url}/longest`)).text());
    const post = (path: string, body: string | Uint8Array, type = "application/json") =>
      fetch(`${url}${path}`, { method: "POST", body: body as BodyInit, headers: { "content-type": type } });
    // Compiled and warm first.
    for (const path of [...OPEN, "/v1/keys/create"]) await post(path, '{"items":[{}]}');
    await longest();
    const figures: string[] = [];
    for (const [name, make] of Object.entries(SHAPES)) {
      const body = make();
      for (const path of [...OPEN, "/v1/keys/create", "/v1/keys/create-batch"]) {
        const { status } = await post(path, body.slice(0, 16 << 20));
        expect([name, path, status >= 200 && status < 500]).toEqual([name, path, true]);
      }
      const turn = await longest();
      figures.push(`${name}: ${turn.toFixed(0)} ms`);
      // In processor time, all threads of the process together; a body parsed at once takes one to two seconds of it.
      expect([name, turn < 500]).toEqual([name, true]);
    }
    const item = Buffer.concat([Buffer.from([0, 0, 0, 4, 1, 2, 3, 4]), Buffer.from([0, 0])]);
    const bytes = Buffer.concat([Buffer.from([0, 0, 0x27, 0x10]), ...Array<Buffer>(10_000).fill(item)]);
    await post("/v1/keys/rewrap-batch", bytes, "application/octet-stream");
    figures.push(`10,000 items in bytes: ${(await longest()).toFixed(0)} ms`);
    await post("/v1/keys/create-batch", '{"tenant":"tenant-a","count":10000,"plaintext":true}');
    figures.push(`10,000 keys made: ${(await longest()).toFixed(0)} ms`);
    console.log(`longest turns: ${figures.join(", ")}`);
  } finally {
    child.kill("SIGKILL");
  }
}, 300_000);
