/** No call of an edge, of whatever shape, keeps a Core from its other edges for 20 ms: a Core in a process of its own. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { request } from "node:https";
import { gzipSync } from "node:zlib";
import { type MeasuredServer, startMeasured } from "../support/measured-turns.ts";
import { usageLine } from "../support/usage-lines.ts";

const SERVER = `
import { startCoreWorld } from "ROOT/test/support/core-world.ts";
const world = await startCoreWorld({ createOnFirstUse: true, limits: { leasesPerSecond: 1e6, usageBatchesPerSecond: 1e6 } });
const told = { url: world.core.url, ...(await world.pki.edge("edge-1")) };
`;

let server: MeasuredServer<{ readonly url: string; readonly ca: string; readonly cert: string; readonly key: string }>;
beforeAll(async () => {
  server = await startMeasured(SERVER);
}, 60_000);
afterAll(() => server.kill());

/** The status, or 0 where the connection was ended. */
function call(path: string, body: Uint8Array | string, headers: Record<string, string> = {}): Promise<number> {
  const { url, ca, cert, key } = server.told;
  return new Promise((done) => {
    const sent = request(`${url}${path}`, {
      method: "POST",
      ca,
      cert,
      key,
      headers: { "content-type": "application/json", ...headers },
    });
    sent.on("response", (response) => {
      response.on("data", () => undefined).on("close", () => done(response.statusCode ?? 0));
    });
    sent.on("error", () => done(0));
    sent.end(body);
  });
}

const M = 1_000_000;
test("usage of any shape, packed and not", async () => {
  const ndjson = { "content-type": "application/x-ndjson" };
  const zipped = { ...ndjson, "content-encoding": "gzip" };
  let keys = 0;
  const send = (body: Uint8Array | string, headers: Record<string, string>) => () =>
    call("/core/v1/usage", body, { ...headers, "idempotency-key": `key-${keys++}` });
  for (const [what, run] of Object.entries({
    "as many records as a batch may have": send(Array<string>(10_000).fill(usageLine()).join("\n"), ndjson),
    "each of another caller": send(
      Array.from({ length: 10_000 }, (_, index) => usageLine({ principal: `caller-${index}` })).join("\n"),
      ndjson,
    ),
    "empty records": send("{}\n".repeat(1.3 * M), ndjson),
    "empty records, packed": send(gzipSync("{}\n".repeat(1.3 * M)), zipped),
    "far more than it takes, packed": send(gzipSync(Buffer.alloc(200 * M, 0x7b)), zipped),
    "line ends": send("\n".repeat(4 * M), ndjson),
    "one long record": send(`{"a":"${"a".repeat(3.9 * M)}"}`, ndjson),
    "a deep nest": send("[".repeat(4 * M), ndjson),
    "no gzip": send(Buffer.alloc(4 * M, 0xff), zipped),
  })) {
    const taken = / may have|another caller/.test(what);
    await server.measure(`usage: ${what}`, async () => {
      const status = await run();
      expect([what, taken ? status === 200 : status < 500]).toEqual([what, true]);
    });
  }
}, 600_000);

test("leases and confirmations of any shape, and many at once", async () => {
  const shapes: Readonly<Record<string, string>> = {
    "a deep nest": "[".repeat(4_000),
    "a body too long": "a".repeat(4 * M),
    "many members": `{${Array.from({ length: 400 }, (_, index) => `"${index}":1`).join()}}`,
  };
  for (const path of ["/core/v1/leases", "/core/v1/applied"]) {
    for (const [what, body] of Object.entries(shapes)) {
      await server.measure(`${path}: ${what}`, async () => {
        for (let tries = 0; tries < 20; tries++) expect(await call(path, body)).toBeLessThan(500);
      });
    }
  }
}, 600_000);
