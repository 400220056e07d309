/** `GET /v1/revocations`: a caller hears of what concerns it, from what is blocked already on, and of nothing else. */
import { afterAll, expect, test } from "bun:test";
import { Policy } from "../../src/edge/access/policy.ts";
import type { LeaseControl, RevocationScope } from "../../src/edge/cache/lease-cache.ts";
import { loadConfiguration } from "../../src/edge/config/load-with-plugins.ts";
import { startEdge } from "../../src/edge/edge.ts";
import type { Listener } from "../../src/edge/listeners/listener.ts";
import { listenOnPort } from "../../src/edge/listeners/plain-http.ts";
import { RevocationBroadcast } from "../../src/edge/revocation-feed.ts";
import { startCoreWorld } from "../support/core-world.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { nativeParts, routesOf } from "./doors/native/world.ts";
import { folderOf } from "./plugin-host/support.ts";

const policy = new Policy(
  [
    { principals: ["billing"], tenants: ["tenant-a"], services: ["billing"], operations: ["decrypt"] },
    { principals: ["billing"], tenants: ["tenant-b*"], services: ["*"], operations: ["create"], cacheSeconds: 0 },
    { effect: "deny", principals: ["*"], tenants: ["tenant-b-secret"], services: ["*"], operations: ["create"] },
  ],
  new VirtualClock(),
);
const blocked: RevocationScope[] = [
  { tenant: "tenant-a", service: "billing", version: 2 },
  { tenant: "tenant-a", service: "other" },
  { tenant: "tenant-c" },
];
const broadcast = new RevocationBroadcast(policy, () => blocked);
const control: LeaseControl = broadcast.watched({
  revoke: () => 1,
  forget() {},
  dropAll() {},
  renew() {},
  renewAll() {},
});

const listener: Listener = await listenOnPort("127.0.0.1", 0, {
  principal: { kind: "listener", name: "billing" },
  doors: routesOf(nativeParts({ revocations: broadcast })),
  limits: {
    connectionsMax: 10,
    connectionsPerPrincipalMax: 10,
    failedHandshakesPerSecond: 10_000,
    requestsMax: 10,
    requestsPerCallerMax: 10,
    headerBytesMax: 16_384,
    bodyBytesMax: 65_536,
    bodiesBytesMax: 1 << 20,
    requestTimeoutMs: 30_000,
    idleTimeoutMs: 60_000,
  },
  log: { info() {}, warn() {}, error() {} },
});
afterAll(() => listener.close(0));

/** Reads a stream of events until what has come satisfies. */
async function listen(
  stop: AbortSignal,
  address = listener.address,
): Promise<{ heard: () => string; until: (text: string) => Promise<void> }> {
  const response = await fetch(`${address}/v1/revocations`, { signal: stop });
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  let heard = "";
  void (async () => {
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>)
      heard += Buffer.from(chunk).toString();
  })().catch(() => undefined);
  return {
    heard: () => heard,
    async until(text) {
      const deadline = Date.now() + 30_000;
      while (!heard.includes(text)) {
        if (Date.now() > deadline) throw new Error(`"${text}" was not heard: ${heard}`);
        await Bun.sleep(5);
      }
    },
  };
}

/** Waits until the edge has its position in the Core's log. */
async function positionOf(address: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const status = (await (await fetch(`${address}/v1/status`)).json()) as { revocation: { log?: string } };
    if (status.revocation.log !== undefined) return;
    if (Date.now() > deadline) throw new Error("the edge never heard its Core");
    await Bun.sleep(5);
  }
}

test("a caller hears what is blocked, then what comes, of what it may use alone", async () => {
  const stop = new AbortController();
  const stream = await listen(stop.signal);
  await stream.until(": ready\n\n");
  expect(stream.heard()).toBe(
    'event: revoke\ndata: {"type":"revoke","tenant":"tenant-a","service":"billing","version":2}\n\n: ready\n\n',
  );
  control.revoke({ tenant: "tenant-a", service: "other" });
  control.revoke({ tenant: "tenant-c", service: "billing" });
  control.revoke({ tenant: "tenant-b-secret", service: "billing" });
  control.revoke({ tenant: "tenant-b1", service: "any", version: 7 });
  control.revoke({ tenant: "tenant-a" });
  // The guard hands on events as they came, with more in them than their scope.
  const restored = { type: "restore", log: "l", seq: 7, reason: "a reason", tenant: "tenant-a", service: "billing" };
  control.forget(restored);
  control.renew("tenant-a", "billing");
  control.dropAll("events were lost");
  await stream.until('data: {"type":"change"}\n\n');
  expect(stream.heard().split(": ready\n\n")[1]).toBe(
    [
      'event: revoke\ndata: {"type":"revoke","tenant":"tenant-b1","service":"any","version":7}',
      'event: revoke\ndata: {"type":"revoke","tenant":"tenant-a"}',
      'event: change\ndata: {"type":"change","tenant":"tenant-a","service":"billing"}',
      'event: change\ndata: {"type":"change","tenant":"tenant-a","service":"billing"}',
      'event: change\ndata: {"type":"change"}',
      "",
    ].join("\n\n"),
  );
  stop.abort();
});

test("a caller that listens before the edge hears its Core is told to ask again for all, once the edge does", async () => {
  const stop = new AbortController();
  const stream = await listen(stop.signal);
  await stream.until(": ready\n\n");
  broadcast.began();
  await stream.until('event: change\ndata: {"type":"change"}\n\n');
  stop.abort();
});

test("streams that end are watched no more", async () => {
  const stops = [1, 2, 3].map(() => new AbortController());
  for (const { signal } of stops) await (await listen(signal)).until(": ready");
  for (const stop of stops) stop.abort();
  const deadline = Date.now() + 30_000;
  while (broadcast.watchers > 0) {
    if (Date.now() > deadline) throw new Error("a stream is watched still");
    await Bun.sleep(10);
  }
});

test("a listener that stops does not wait for streams", async () => {
  const stop = new AbortController();
  const stream = await listen(stop.signal);
  await stream.until(": ready");
  const beganMs = performance.now();
  await listener.close(600_000);
  expect(performance.now() - beganMs).toBeLessThan(300_000);
  stop.abort();
});

test("a policy says how long plaintexts may be kept, the least of what allows", () => {
  const principal = { kind: "listener", name: "billing" } as const;
  expect(policy.cacheSeconds(principal, "tenant-a", "billing")).toBe(Number.POSITIVE_INFINITY);
  expect(policy.cacheSeconds(principal, "tenant-b1", "any")).toBe(0);
});

test("a revocation at a real Core reaches a caller through its edge", async () => {
  await using world = await startCoreWorld();
  await world.core.admin.createService("tenant-a", "billing");
  const { ca, cert, key } = await world.pki.edge("edge-1");
  using folder = folderOf({
    "ca.pem": ca,
    "cert.pem": cert,
    "key.pem": key,
    "edge.yaml": `
edge: { id: edge-1 }
key_source: { use: core, core: { url: "${world.core.url}", ca: ca.pem, cert: cert.pem, key: key.pem, server_name: localhost } }
listeners: [{ http: "127.0.0.1:0", principal: billing }]
policies: [{ principals: [billing], tenants: [tenant-a], services: ["*"], operations: [create, decrypt] }]
log: { level: error }
`,
  });
  const edge = await startEdge(await loadConfiguration(`${folder.path}/edge.yaml`, undefined, {}));
  const stop = new AbortController();
  try {
    const stream = await listen(stop.signal, edge.addresses[0]);
    await stream.until(": ready");
    // What was revoked before the edge hears its Core is told as a change of everything.
    await positionOf(edge.addresses[0]!);
    await world.core.admin.revoke({ tenant: "tenant-a", service: "billing" }, { reason: "a test" });
    await stream.until('data: {"type":"revoke","tenant":"tenant-a","service":"billing"}\n\n');
    const later = await listen(stop.signal, edge.addresses[0]);
    await later.until(": ready");
    expect(later.heard()).toStartWith('event: revoke\ndata: {"type":"revoke","tenant":"tenant-a","service":"billing"}');
    await world.core.admin.restore({ tenant: "tenant-a", service: "billing" });
    await stream.until('data: {"type":"change","tenant":"tenant-a","service":"billing"}\n\n');
  } finally {
    stop.abort();
    await edge.close();
  }
}, 300_000);
