/** No call of an administrator, nor a page of the console, keeps a Core from its edges for 20 ms, however large the fleet is. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { request } from "node:https";
import { type FilledCore, LARGE, MORE_LARGE } from "../support/filled-core.ts";
import { type MeasuredServer, startMeasured } from "../support/measured-turns.ts";

const SERVER = `
import { startFilledCore } from "ROOT/test/support/filled-core.ts";
const told = await startFilledCore();
`;

let server: MeasuredServer<FilledCore>;
beforeAll(async () => {
  server = await startMeasured(SERVER);
}, 120_000);
afterAll(() => server.kill());

/** The status of an answer that was read to its end. */
function ask(origin: string, path: string, body?: object): Promise<number> {
  const { ca, cert, key } = server.told.administrator;
  return new Promise((done, fail) => {
    const method = body === undefined ? "GET" : "POST";
    const sent = request(new URL(path, origin), {
      method,
      ca,
      cert,
      key,
      headers: { "content-type": "application/json" },
    });
    sent.on("error", fail).on("response", (response) => {
      response.on("data", () => undefined).on("end", () => done(response.statusCode ?? 0));
    });
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

test("administration", async () => {
  const { url } = server.told;
  for (const [what, path, body] of [
    ["status", "status"],
    ["tenants", "tenants"],
    ["services", "services?tenant=large"],
    ["versions", "services?tenant=tenant-1"],
    ["edges", "edges"],
    ["usage", "usage?limit=10000"],
    ["audit", "audit?limit=10000"],
    ["audit of an edge", "audit?limit=10000&edge=edge-1"],
    ["audit of nobody", "audit?limit=10000&edge=nobody"],
    ["events", "events?limit=10000"],
    ["impact of a tenant", "impact", { tenant: LARGE }],
    ["impact of a service", "impact", { tenant: LARGE, service: "service-1" }],
    ["impact of a version", "impact", { tenant: LARGE, service: "service-1", version: 1 }],
  ] as const) {
    await server.measure(`administration, ${what}`, async () => {
      expect([what, await ask(url, `/core/v1/admin/${path}`, body)]).toEqual([what, 200]);
    });
  }
}, 600_000);

test("the console", async () => {
  const { consoleUrl } = server.told;
  for (const path of [
    "/",
    "/services",
    "/services?tenant=large",
    "/services?tenant=large&service=service-1",
    "/services?tenant=tenant-1&service=service-1",
    "/edges",
    "/events",
    "/audit",
    "/audit?words=decrypt",
    "/audit?words=nothing-like-it",
    "/audit?edge=nobody",
    "/audit.jsonl",
    "/revoke?tenant=large",
  ]) {
    await server.measure(`console, ${path}`, async () => {
      expect([path, await ask(consoleUrl, path)]).toEqual([path, 200]);
    });
  }
}, 600_000);

test("changes", async () => {
  const { url } = server.told;
  const act = async (call: string, body: object): Promise<void> => {
    expect([call, await ask(url, `/core/v1/admin/${call}`, body)]).toEqual([call, 200]);
  };
  let destroyed = 0;
  for (const [what, run] of Object.entries({
    "a tenant of 10,000 services revoked and restored": async () => {
      await act("revoke", { tenant: LARGE });
      await act("restore", { tenant: LARGE });
    },
    "a service of 10,000 versions revoked and restored": async () => {
      await act("revoke", { tenant: "tenant-1", service: "service-1" });
      await act("restore", { tenant: "tenant-1", service: "service-1" });
    },
    "a tenant of 10,000 services destroyed": () => act("destroy", { tenant: MORE_LARGE[destroyed++] }),
  })) {
    await server.measure(what, run);
  }
}, 600_000);

test("the rotation of the master key, of 10,000 tenants", async () => {
  using db = new Database(server.told.database, { strict: true });
  db.run("PRAGMA busy_timeout = 5000");
  const query = db.query<{ tenant: string; l2: Uint8Array }, []>("SELECT tenant, l2 FROM tenants WHERE l2 IS NOT NULL");
  const former = query.all();
  expect(former.length).toBeGreaterThan(10_000);
  const putBack = db.query("UPDATE tenants SET l2 = $1 WHERE tenant = $2");
  const isSame = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0;
  await server.measure("the rotation of the master key", async () => {
    db.transaction(() => {
      for (const { tenant, l2 } of former) putBack.run(l2, tenant);
    })();
    expect(await ask(server.told.url, "/core/v1/admin/master-key", {})).toBe(200);
    expect(query.all().filter(({ l2 }, index) => isSame(l2, former[index]!.l2))).toEqual([]);
  });
  await server.measure("one that has nothing left to do", async () => {
    expect(await ask(server.told.url, "/core/v1/admin/master-key", {})).toBe(200);
  });
}, 600_000);
