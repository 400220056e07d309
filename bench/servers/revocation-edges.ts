/**
 * Many edges in one process, each with a container of its own, as an operator's configuration makes it: its own cache, guard,
 * key memory, and connections to Core and brokers under its own certificate. Only the leases' keys are made here, since a
 * million calls to a Core is not what is measured.
 *
 * Options, in the file named: `EdgesOptions`. Speaks lines of JSON: `ready`; then for each line `{ service }` on standard input,
 * `watching`, and a `result` when every edge has refused.
 */
import "reflect-metadata";
import { edenGC } from "bun:jsc";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { LeaseCache } from "../../src/edge/cache/lease-cache.ts";
import { loadConfiguration } from "../../src/edge/config/load-with-plugins.ts";
import { createContainer, TOKENS } from "../../src/edge/container.ts";
import type { KeySource } from "../../src/edge/key-source/key-source.ts";
import type { Operations } from "../../src/edge/operations/operations.ts";
import { contribution } from "../../src/edge/plugin-host/plugin.ts";
import type { RevocationGuard } from "../../src/edge/revocation/revocation-guard.ts";
import type { RevocationSink } from "../../src/edge/revocation/revocation-transport.ts";
import { machineMs } from "../harness/machine-clock.ts";
import { residentBytesOf } from "../harness/processes.ts";

export interface EdgesOptions {
  readonly edges: readonly { readonly id: string; readonly cert: string; readonly key: string }[];
  readonly ca: string;
  readonly coreUrl: string;
  /** Held by each edge before anything is measured. */
  readonly leases: number;
  readonly transports: readonly Readonly<Record<string, unknown>>[];
  readonly plugins: readonly string[];
  /** The load on each edge. */
  readonly requestsPerSecond: number;
}

export interface EdgesResult {
  /** For each edge, by the machine's clock. */
  readonly refusedAtMs: readonly number[];
  /** Requests that succeeded although the edge had applied the revocation. */
  readonly servedAfter: number;
  readonly requests: number;
}

const TENANT = "tenant-a";
const LEASE_MS = 3_600_000;
const PRINCIPAL = { kind: "listener", name: "bench" } as const;

const options = JSON.parse(readFileSync(process.argv[2]!, "utf8")) as EdgesOptions;
const folder = mkdtempSync(join(tmpdir(), "crypto-edge-bench-edges-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const key = crypto.getRandomValues(new Uint8Array(32));

interface Edge {
  readonly leases: LeaseCache;
  readonly operations: Operations;
  readonly guard: RevocationGuard;
  wrapped: Uint8Array;
  /** 0 until then. */
  refusedAtMs: number;
}

async function startEdge({ id, cert, key: keyPem }: EdgesOptions["edges"][number]): Promise<Edge> {
  const write = (name: string, text: string): string => {
    const path = join(folder, `${id}-${name}`);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const file = write(
    "edge.yaml",
    JSON.stringify({
      edge: { id },
      key_source: {
        use: "static",
        core: {
          url: options.coreUrl,
          ca: write("ca", options.ca),
          cert: write("cert", cert),
          key: write("key", keyPem),
        },
        static: { keys: [{ tenant: TENANT, service: "none", version: 1, key: "00".repeat(32) }] },
      },
      cache: { ttl: "60m", refresh_after: "59m", max_leases: options.leases + 64 },
      revocation: { transports: options.transports },
      listeners: [{ http: "127.0.0.1:0", principal: PRINCIPAL.name }],
      policies: [{ principals: [PRINCIPAL.name], tenants: ["*"], services: ["*"], operations: ["create", "decrypt"] }],
      plugins: [resolve(import.meta.dirname, "../../plugins/static"), ...options.plugins],
      log: { level: "error" },
      // What the edges of a machine with a thousand of them would else do to each other: audit a million leases and each
      // refusal, and shake hands with the Core a hundred times a second, each for its own usage.
      usage: { max_audit_lines: 100, send_after: "60m" },
      audit: { operations: "none" },
    }),
  );
  const loaded = await loadConfiguration(file);
  let guard: RevocationGuard | undefined;
  const source: KeySource = {
    name: "bench",
    lease: async ({ tenant, service }) => ({
      tenant,
      service,
      ttlMs: LEASE_MS,
      refreshAfterMs: LEASE_MS,
      log: guard?.status().log,
      revocationSeq: guard?.status().newestSeq ?? 0,
      versions: [{ version: 1, state: "active", key: key.slice() }],
    }),
    close: async () => {},
  };
  const from = loaded.plugins.keySources.get("static")!.from;
  const made = contribution({
    configuration: loaded.plugins.keySources.get("static")!.contribution.configuration,
    create: () => source,
  });
  const keySources = new Map([["static", { from, contribution: made }]]);
  const container = await createContainer(
    { ...loaded, plugins: { ...loaded.plugins, keySources } },
    new AbortController().signal,
  );
  guard = container.resolve(TOKENS.revocationGuard);
  const operations = container.resolve(TOKENS.operations);
  const edge: Edge = {
    leases: container.resolve(TOKENS.leaseCache),
    operations,
    guard,
    wrapped: new Uint8Array(),
    refusedAtMs: 0,
  };
  for (const transport of container.resolve(TOKENS.revocationTransports)) {
    await transport.start(watched(edge, guard.sink(transport.name)));
  }
  guard.start();
  return edge;
}

/**
 * A request the moment an event has been handed over: what is measured is the edge's way to its first refusal, not how seldom
 * the load asks.
 */
function watched(edge: Edge, sink: RevocationSink): RevocationSink {
  return {
    ...sink,
    deliver(event) {
      sink.deliver(event);
      if (event.type === "revoke") ask(edge);
    },
    async deliverSigned(jws) {
      await sink.deliverSigned(jws);
      if (watching !== undefined && edge.refusedAtMs === 0 && edge.guard.isBlocked(TENANT, watching.service)) ask(edge);
    },
  };
}

async function until(holds: () => boolean, what: string): Promise<void> {
  const endMs = performance.now() + 120_000;
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`${what} did not come true`);
    await Bun.sleep(10);
  }
}

function say(line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

interface Watching {
  readonly service: string;
  left: number;
  requests: number;
  servedAfter: number;
  readonly done: () => void;
}

let watching: Watching | undefined;

/** One request to an edge: answered at once, but by one that has dropped its leases for want of an event, which asks anew. */
function ask(edge: Edge): void {
  const round = watching;
  if (round === undefined) return;
  const isRevoked = edge.refusedAtMs > 0 || edge.guard.isBlocked(TENANT, round.service);
  const served = (): void => {
    if (isRevoked) round.servedAfter++;
  };
  const refused = (error: unknown): void => {
    const { code } = error as { code?: string };
    if (code === "lease_unavailable") return;
    if (code !== "key_revoked") fail(error);
    if (edge.refusedAtMs > 0) return;
    edge.refusedAtMs = machineMs();
    if (--round.left === 0) round.done();
  };
  round.requests++;
  try {
    const answer = edge.operations.decryptKey(
      { principal: PRINCIPAL, door: "native", requestId: undefined },
      { wrapped: edge.wrapped },
    );
    if (answer instanceof Promise) answer.then(served, refused);
    else served();
  } catch (error) {
    refused(error);
  }
}

function fail(error: unknown): never {
  console.error(error);
  process.exit(1);
}

/** How often the load has its turn; each time as many edges are asked as are due, one after the other. */
const TURN_MS = 2;
const MISSED_MAX = 20;
/** How long the load goes on when every edge has refused: a success then is what must never be. */
const AFTERWARDS_MS = 60;

/** Load on every edge until each has refused, and a little longer. */
async function watch(service: string): Promise<EdgesResult> {
  for (const edge of edges) edge.refusedAtMs = 0;
  const refused = new Promise<void>((done) => {
    watching = { service, left: edges.length, requests: 0, servedAfter: 0, done };
  });
  const beganMs = machineMs();
  let asked = 0;
  const load = setInterval(() => {
    const due = Math.floor(((machineMs() - beganMs) / 1_000) * options.requestsPerSecond * edges.length);
    // What a busy machine made it miss is not made up for in one turn.
    asked = Math.max(asked, due - Math.max(edges.length, MISSED_MAX));
    for (; asked < due; asked++) ask(edges[asked % edges.length]!);
  }, TURN_MS);
  await refused;
  await Bun.sleep(AFTERWARDS_MS);
  clearInterval(load);
  const { requests, servedAfter } = watching!;
  watching = undefined;
  return { refusedAtMs: edges.map(({ refusedAtMs }) => refusedAtMs), servedAfter, requests };
}

const edges: Edge[] = [];
// One after the other: a thousand that connect at one moment are another thing to measure.
for (const edge of options.edges) {
  const started = await startEdge(edge);
  await until(() => started.guard.status().transports.every(({ connected }) => connected), "a connection");
  edges.push(started);
}
/** Every transport of every edge is alive: what is measured is not a reconnection. */
function settled(): Promise<void> {
  return until(
    () =>
      edges.every(({ guard }) => {
        const { log, transports } = guard.status();
        return log !== undefined && transports.every((one) => one.connected && (one.lastHeardMs ?? 9_999) < 2_000);
      }),
    "every transport of every edge being alive",
  );
}

await settled();
for (const { leases } of edges) {
  for (let index = 0; index < options.leases; index += 32) {
    const count = Math.min(32, options.leases - index);
    await Promise.all(
      Array.from({ length: count }, async (_, offset) => leases.active(TENANT, `service-${index + offset}`)),
    );
    // The connections have something to read meanwhile.
    await new Promise(setImmediate);
  }
}
await settled();
say({ ready: { residentBytes: residentBytesOf(process.pid) } });
for await (const line of createInterface({ input: process.stdin })) {
  const { service } = JSON.parse(line) as { service: string };
  for (const edge of edges) {
    edge.wrapped = (
      await edge.operations.createKey(
        { principal: PRINCIPAL, door: "native", requestId: undefined },
        { tenant: TENANT, service },
      )
    ).wrapped;
  }
  // What making these keys left behind is no part of what is measured.
  edenGC();
  await settled();
  const watched = watch(service);
  say({ watching: true });
  say({ result: await watched });
}
process.exit(0);
