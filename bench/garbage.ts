/**
 * What a request leaves behind, and what the heap holds while requests are answered: the two things that a pause of the collector is paid
 * for. Both are counted, so a busy machine does not change them.
 */
import type { BenchContext } from "./harness/context.ts";
import { generateLoad, type LoadRequest } from "./harness/generator.ts";
import { heapOfServe } from "./harness/loaded.ts";
import { residentBytesOf, type ServerProcess, startServer } from "./harness/processes.ts";
import { median, spread } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about = "bytes of garbage a request, and the functions and modules that serve has loaded";
export const guards = true;

const RATE = 10_000;
const WARM_UP_REQUESTS = 20_000;
const CONNECTIONS = 16;
/** The collector never runs: what a process grows by is what its requests have left. */
const NO_COLLECTIONS = { environment: { BUN_JSC_useGC: "0" } };

export async function run(context: BenchContext): Promise<Row[]> {
  const requests = context.isGuard ? 20_000 : 50_000;
  const rounds = context.isGuard ? 1 : 3;
  const edge: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round < rounds; round++) {
    edge.push(await garbageOf("edge.ts", {}, requests));
    bare.push(await garbageOf("bare.ts", { answerBytes: 204, anyPath: true }, requests));
  }
  const core = await startServer("core.ts", { directory: context.directory }, "client");
  context.cleanUp(() => core.stop());
  const leases: LeaseCalls[] = [];
  for (let round = 0; round < rounds; round++) {
    leases.push(await leaseCalls(core, context.directory, requests / 5));
  }
  const heap = await heapOfServe();
  const withCore = await heapOfServe("core");
  context.say(`packages loaded: ${heap.packages.join(", ")}`);
  return [
    row({
      name: "garbage: bytes a request, 70 % create 30 % decrypt",
      value: median(edge),
      baseline: median(bare),
      baselineName: "bare Bun.serve",
      unit: "bytes",
      spread: spread(edge),
      goal: { of: "value", atMost: 1_500 },
      note: `growth of resident memory over ${requests.toLocaleString("en-US")} requests at ${RATE.toLocaleString("en-US")} a second, without collections`,
    }),
    row({
      name: "garbage: bytes a lease call",
      value: median(leases.map(({ bytes }) => bytes)),
      unit: "bytes",
      spread: spread(leases.map(({ bytes }) => bytes)),
      goal: { of: "value", atMost: 11_000 },
      note: `of one key, at a Core over mutual TLS; ${Math.round(median(leases.map(({ microseconds }) => microseconds)))} µs of processor time, of which X25519 by the runtime's library takes some 60`,
    }),
    row({
      name: "garbage: live functions once serve is ready",
      value: heap.functions,
      unit: "functions",
      goal: { of: "value", atMost: 1_500 },
      note: `FunctionExecutable, from source, static source, one Unix socket, one request answered; ${heap.codeBlocks} code blocks`,
    }),
    row({
      name: "garbage: live functions with a Core",
      value: withCore.functions,
      unit: "functions",
      note: `the same edge with leases and revocations of a Core; ${withCore.modules} modules. node:tls alone is 677 functions`,
    }),
    row({ name: "garbage: modules loaded by serve", value: heap.modules, unit: "modules" }),
  ];
}

export async function garbageOf(script: string, options: Record<string, unknown>, requests: number): Promise<number> {
  const server = await startServer(script, options, "server", NO_COLLECTIONS);
  try {
    const messages = await requestsFor(server);
    await load(server, messages, WARM_UP_REQUESTS);
    const before = residentBytesOf(server.pid);
    await load(server, messages, requests);
    return (residentBytesOf(server.pid) - before) / requests;
  } finally {
    await server.stop();
  }
}

interface LeaseCalls {
  readonly microseconds: number;
  readonly bytes: number;
}

/** What a lease call takes, in a process that does nothing else. */
async function leaseCalls(core: ServerProcess, directory: string, calls: number): Promise<LeaseCalls> {
  const { url } = core.ready;
  const asking = await startServer("lease-calls.ts", { url, directory, calls }, "server", NO_COLLECTIONS);
  await asking.stop();
  return asking.ready as unknown as LeaseCalls;
}

async function load(server: ServerProcess, messages: readonly LoadRequest[], requestsMax: number): Promise<void> {
  const given = await generateLoad({
    target: { port: server.ready.port as number },
    connections: CONNECTIONS,
    rate: RATE,
    // On a busy machine the number of requests ends it, not the time.
    seconds: 60,
    warmUpSeconds: 0,
    requestsMax,
    requests: messages,
  });
  if (given.errors > 0) throw new Error(`${given.errors} requests failed: ${given.firstError}`);
}

/** Seven creates to three decrypts. */
async function requestsFor(server: ServerProcess): Promise<LoadRequest[]> {
  const create: LoadRequest = {
    method: "POST",
    path: "/v1/keys/create",
    body: JSON.stringify({ tenant: "tenant-a", service: "billing" }),
    weight: 7,
  };
  const answer = await fetch(`http://127.0.0.1:${server.ready.port}${create.path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: create.body!,
  });
  const text = await answer.text();
  const wrapped = text.startsWith("{") ? (JSON.parse(text) as { wrapped: string }).wrapped : "A".repeat(178);
  return [create, { method: "POST", path: "/v1/keys/decrypt", body: JSON.stringify({ wrapped }), weight: 3 }];
}
