/**
 * From the manager's send to an edge's first refused request, and until the manager knows that every edge has applied it: Orbital over
 * RabbitMQ with AMQP 1.0, signed both ways. Each edge has its guard, its cache and its connection; all share this process with the
 * manager, and the machine with the broker. Requests are signed before the clock starts: a manager's own work is not measured.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createOrbitalTransport } from "../plugins/orbital/transport.ts";
import { systemClock } from "../src/base/time/system-clock.ts";
import { createTtlLeaseCache } from "../src/edge/cache/ttl-lease-cache.ts";
import type { KeySource } from "../src/edge/key-source/key-source.ts";
import type { PluginContext } from "../src/edge/plugin-host/plugin.ts";
import { createRevocationGuard } from "../src/edge/revocation/guard.ts";
import { RABBIT_USER, startRabbitServer } from "../test/integration/support/rabbitmq-server.ts";
import { nodeCipher } from "../test/support/ciphers.ts";
import { makeSigningKey } from "../test/support/orbital-keys.ts";
import { amqpLane, jsonWire, type Lane, type ManagerTask, newTask, signTask } from "../test/support/orbital-manager.ts";
import type { BenchContext } from "./harness/context.ts";
import { type Row, row } from "./harness/row.ts";

export const about =
  "From Orbital's send to the first refused request, and until its manager knows that all have applied it";

const TENANT = "tenant-a";
const ISSUER = "https://orbital.bench";
const ANSWERS = "answers";
const EDGES = [1, 100];
const P99_OF_ONE_MS = 50;
const P99_OF_A_HUNDRED_MS = 1_000;
const LIMIT_MS = 60_000;

interface Edge {
  readonly lane: Lane;
  /** Asks for the key, as a request does. Throws once it is refused. */
  use(service: string): unknown;
  /** When the first request was refused; 0 until then. */
  refusedAtMs: number;
}

export async function run(context: BenchContext): Promise<Row[]> {
  if (!(await Bun.file("/usr/lib/rabbitmq/bin/rabbitmq-server").exists())) {
    context.say("rabbitmq-server is not installed: left out");
    return [];
  }
  const rows: Row[] = [];
  for (const edges of context.isGuard ? EDGES.slice(0, 1) : EDGES) rows.push(...(await measure(context, edges)));
  return rows;
}

async function measure(context: BenchContext, count: number): Promise<Row[]> {
  const queues = Array.from({ length: count }, (_, index) => `requests-${index}`);
  const broker = await startRabbitServer({ amqp1Queues: [...queues, ANSWERS] });
  context.cleanUp(() => broker[Symbol.asyncDispose]());
  const [manager, answers] = [makeSigningKey(), makeSigningKey()];
  const file = (name: string, text: string): string => {
    writeFileSync(join(context.directory, name), text);
    return join(context.directory, name);
  };
  const [jwks, answerKey] = [file("jwks.json", manager.jwks("one")), file("answers.key", answers.privateKey)];

  const done = new Map<string, number>();
  const edges: Edge[] = [];
  for (const requests of queues) {
    const { user, password } = RABBIT_USER;
    const lane = amqpLane(
      { port: broker.port, user, password, requests, answers: ANSWERS, wire: jsonWire },
      (answer) => {
        if (answer.status === "DONE") done.set(answer.taskId, performance.now());
      },
    );
    context.cleanUp(() => lane.close());
    const edge: Edge = { lane, refusedAtMs: 0, use: () => undefined };
    const guard = createRevocationGuard({
      clock: systemClock,
      log: { info() {}, warn() {}, error() {} },
      maxSilenceMs: LIMIT_MS,
      onSilence: "renew_early",
      onAuthority({ scope }) {
        try {
          edge.use(scope.service!);
        } catch {
          edge.refusedAtMs = performance.now();
        }
      },
    });
    const cache = createTtlLeaseCache({
      source: ALWAYS,
      cipher: nodeCipher(),
      keyMemory: { store: heapSlot },
      clock: systemClock,
      gate: guard,
      ttlMs: 3_600_000,
      refreshAfterMs: 3_000_000,
      maxLeases: 10_000,
    });
    guard.attach(cache);
    edge.use = (service) => cache.active(TENANT, service);
    const transport = await createOrbitalTransport(
      {
        amqp: {
          server: `amqp://127.0.0.1:${broker.port}`,
          requests,
          answers: ANSWERS,
          codec: "json",
          login: "plain",
          ...RABBIT_USER,
        },
        issuers: [{ issuer: ISSUER, keys: jwks, tenants: ["*"], restores: "any" }],
        require_signature: true,
        sign: { issuer: "https://edge.bench", key_id: "answers", key: answerKey },
      },
      pluginContext(requests),
    );
    await transport.start(guard.sink("orbital"));
    context.cleanUp(async () => {
      await transport.close();
      guard.close();
      cache.close();
    });
    edges.push(edge);
  }

  const refusals: number[] = [];
  const known: number[] = [];
  const rounds = (context.isGuard ? 5 : count === 1 ? 100 : 20) + 2;
  for (let round = 0; round < rounds; round++) {
    const service = `service-${round}`;
    for (const edge of edges) {
      await edge.use(service);
      edge.refusedAtMs = 0;
    }
    const key = { issuer: ISSUER, keyId: "one", privateKey: manager.privateKey };
    const order = { tenant: TENANT, service, reason: "bench" };
    const tasks: ManagerTask[] = edges.map(() => signTask(newTask("crypto-edge.revoke", order), key));
    const startedMs = performance.now();
    await Promise.all(edges.map(({ lane }, index) => lane.send(tasks[index]!)));
    while (tasks.some(({ taskId }) => !done.has(taskId))) {
      if (performance.now() - startedMs > LIMIT_MS) throw new Error("not every edge has answered");
      await Bun.sleep(1);
    }
    // The first rounds connect and compile.
    if (round < 2) continue;
    for (const { refusedAtMs } of edges) {
      if (refusedAtMs === 0) throw new Error("an edge has answered DONE and serves");
      refusals.push(refusedAtMs - startedMs);
    }
    known.push(Math.max(...tasks.map(({ taskId }) => done.get(taskId)!)) - startedMs);
  }
  const name = `revocation by Orbital, ${count} ${count === 1 ? "edge" : "edges"}`;
  const atMost = count === 1 ? P99_OF_ONE_MS : P99_OF_A_HUNDRED_MS;
  return [
    row({ name: `${name}: send to first refusal, p50`, value: quantile(refusals, 0.5), unit: "ms" }),
    row({
      name: `${name}: send to first refusal, p99`,
      value: quantile(refusals, 0.99),
      unit: "ms",
      goal: { of: "value", atMost },
    }),
    row({
      name: `${name}: until the manager knows that all have applied it, p50`,
      value: quantile(known, 0.5),
      unit: "ms",
    }),
    row({
      name: `${name}: until the manager knows that all have applied it, max`,
      value: Math.max(...known),
      unit: "ms",
    }),
  ];
}

const ALWAYS: KeySource = {
  name: "bench",
  lease: async ({ tenant, service }) => ({
    tenant,
    service,
    ttlMs: 3_600_000,
    refreshAfterMs: 3_000_000,
    log: undefined,
    revocationSeq: 0,
    versions: [{ version: 1, state: "active", key: new Uint8Array(32).fill(7) }],
  }),
  close: async () => {},
};

function heapSlot(key: Uint8Array) {
  const bytes = Uint8Array.from(key);
  return {
    use: <T>(reader: (key: Uint8Array) => T): T => reader(bytes),
    release: () => void bytes.fill(0),
    released: false,
  };
}

function pluginContext(edgeId: string): PluginContext {
  const nothing = { add() {}, set() {}, observe() {} };
  return {
    log: { info() {}, warn() {}, error() {} },
    clock: systemClock,
    metrics: { counter: () => nothing, gauge: () => nothing, histogram: () => nothing },
    edgeId,
    directory: "/",
    signal: new AbortController().signal,
    attempt: async (_name, run) => run(),
    follow: async ({ take }) => take(),
  };
}

function quantile(values: readonly number[], at: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(at * sorted.length))] ?? Number.NaN;
}
