/** The load generator without a compiler, as its own process: reads LoadOptions as JSON from standard input, writes a LoadResult. */
import type { Socket } from "bun";
import { encodeRequest, type LoadOptions, type LoadResult } from "./generator.ts";

const options = JSON.parse(await Bun.stdin.text()) as LoadOptions;
const { target, connections, rate, seconds, warmUpSeconds = 0.5, requestsMax = Number.POSITIVE_INFINITY } = options;

const messages = options.requests.map(encodeRequest);
/** Which message is sent when: a fixed cycle, of a hundred at least, that spreads the weights evenly. */
const cycle = makeCycle(options.requests.map((request) => request.weight ?? 1));

let measureFromMs = Number.POSITIVE_INFINITY;
let endMs = Number.POSITIVE_INFINITY;

let latencies = new Float64Array(1 << 16);
let measured = 0;
const lateness: number[] = [];
let errors = 0;
let firstError: string | undefined;
let sent = 0;

function record(dueMs: number, nowMs: number): void {
  if (dueMs < measureFromMs || nowMs > endMs) return;
  if (measured === latencies.length) {
    const larger = new Float64Array(latencies.length * 2);
    larger.set(latencies);
    latencies = larger;
  }
  latencies[measured] = nowMs - dueMs;
  measured++;
}

function failed(what: string): void {
  errors++;
  firstError ??= what;
}

interface Connection {
  readonly socket: Socket<unknown>;
  /** When the request in flight was due; NaN while idle. */
  dueMs: number;
  /** What has arrived of an answer that is not whole yet. */
  partial: Buffer | undefined;
}

const idle: Connection[] = [];
/** Due times that no connection was free for. A queue: `backlogHead` is its first. */
let backlog: number[] = [];
let backlogHead = 0;

function send(connection: Connection, dueMs: number): void {
  connection.dueMs = dueMs;
  const message = messages[cycle[sent % cycle.length]!]!;
  sent++;
  const written = connection.socket.write(message);
  if (written !== message.length) sendRest(connection, message.subarray(Math.max(0, written)));
}

const unsent = new Map<Socket<unknown>, Buffer>();
function sendRest(connection: Connection, rest: Buffer): void {
  unsent.set(connection.socket, rest);
}

/** The connection has its answer: it takes the oldest request that waits, asks again, or goes idle. */
function answered(connection: Connection, nowMs: number): void {
  record(connection.dueMs, nowMs);
  connection.dueMs = Number.NaN;
  if (rate === undefined) {
    if (nowMs < endMs) send(connection, nowMs);
  } else if (backlogHead < backlog.length) {
    send(connection, backlog[backlogHead++]!);
    if (backlogHead === backlog.length) {
      backlog = [];
      backlogHead = 0;
    }
  } else {
    idle.push(connection);
  }
}

function receive(connection: Connection, chunk: Buffer): void {
  const bytes = connection.partial === undefined ? chunk : Buffer.concat([connection.partial, chunk]);
  const end = lengthOfAnswer(bytes);
  if (end === undefined || bytes.length < end) {
    connection.partial = Buffer.from(bytes);
    return;
  }
  connection.partial = undefined;
  // "HTTP/1.1 2xx"
  if (bytes[9] !== 0x32) failed(bytes.subarray(0, Math.min(bytes.length, 600)).toString("latin1"));
  answered(connection, performance.now());
}

/** The bytes of the whole answer, from its headers; undefined while these are not complete. */
function lengthOfAnswer(bytes: Buffer): number | undefined {
  const headersEnd = bytes.indexOf("\r\n\r\n");
  if (headersEnd < 0) return undefined;
  const headers = bytes.toString("latin1", 0, headersEnd);
  const length = /\r\ncontent-length: *(\d+)/i.exec(headers)?.[1];
  if (length === undefined) throw new Error(`An answer without content-length cannot be measured:\n${headers}`);
  return headersEnd + 4 + Number(length);
}

let open = 0;
const sockets = await Promise.all(Array.from({ length: connections }, connect));

async function connect(): Promise<Socket<unknown>> {
  let connection: Connection;
  const ready = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    ...(target.unix === undefined ? { hostname: "127.0.0.1", port: target.port! } : { unix: target.unix }),
    ...(target.tls === undefined ? {} : { tls: { ...target.tls } }),
    socket: {
      open: () => {
        open++;
        if (target.tls === undefined) ready.resolve();
      },
      handshake: (_, authorized, error) => {
        if (authorized) ready.resolve();
        else ready.reject(error ?? new Error("the server's certificate is not the expected one"));
      },
      data: (_, chunk) => receive(connection, chunk),
      drain: (drained) => {
        const rest = unsent.get(drained);
        if (rest === undefined) return;
        unsent.delete(drained);
        const written = drained.write(rest);
        if (written < rest.length) unsent.set(drained, rest.subarray(Math.max(0, written)));
      },
      close: () => {
        if (performance.now() < endMs) failed("a connection was closed");
      },
      error: (_, error) => failed(String(error)),
    },
  } as Parameters<typeof Bun.connect>[0]);
  await ready.promise;
  connection = { socket: socket as Socket<unknown>, dueMs: Number.NaN, partial: undefined };
  idle.push(connection);
  return socket as Socket<unknown>;
}
if (open < connections) throw new Error(`Only ${open} of ${connections} connections opened.`);

// The clock starts once every connection is open: handshakes are not what is measured.
measureFromMs = performance.now() + warmUpSeconds * 1000;
endMs = measureFromMs + seconds * 1000;

let cpuAtMeasure: NodeJS.CpuUsage | undefined;
let cpuAtMs = 0;
function markCpu(nowMs: number): void {
  if (cpuAtMeasure !== undefined || nowMs < measureFromMs) return;
  cpuAtMeasure = process.cpuUsage();
  cpuAtMs = nowMs;
}

if (rate === undefined) {
  for (const connection of idle.splice(0)) send(connection, performance.now());
  setTimeout(() => markCpu(performance.now()), Math.max(1, measureFromMs - performance.now()));
  setTimeout(finish, endMs - performance.now());
} else {
  const intervalMs = 1000 / rate;
  let nextDueMs = performance.now();
  // No timer is finer than a millisecond: the loop turns without pause and looks at the clock, unless told to sleep.
  const turn = (): void => {
    const nowMs = performance.now();
    markCpu(nowMs);
    while (nextDueMs <= nowMs && sent + backlog.length - backlogHead < requestsMax) {
      if (nextDueMs >= measureFromMs) lateness.push(nowMs - nextDueMs);
      const connection = idle.pop();
      if (connection === undefined) backlog.push(nextDueMs);
      else send(connection, nextDueMs);
      nextDueMs += intervalMs;
    }
    if (nowMs >= endMs || measured >= requestsMax) finish();
    else if (options.beside) setTimeout(turn, 1);
    else setImmediate(turn);
  };
  turn();
}

function finish(): void {
  const cpu = process.cpuUsage(cpuAtMeasure);
  const cpuSeconds = (cpu.user + cpu.system) / 1e6;
  // What is still owed counts with the time that it has waited: leaving it out would be the omission.
  const nowMs = endMs;
  for (let index = backlogHead; index < backlog.length; index++) record(backlog[index]!, nowMs);
  const sorted = latencies.subarray(0, measured).toSorted();
  const at = (share: number): number => sorted[Math.min(measured - 1, Math.floor(measured * share))] ?? Number.NaN;
  const late = lateness.toSorted((a, b) => a - b);
  const lateAt = (share: number): number => late[Math.min(late.length - 1, Math.floor(late.length * share))] ?? 0;
  const result: LoadResult = {
    requestsPerSecond: measured / seconds,
    requests: measured,
    errors,
    latencyMs: { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: sorted[measured - 1] ?? Number.NaN },
    lateMs: { p99: lateAt(0.99), p999: lateAt(0.999) },
    clientCores: cpuSeconds / ((performance.now() - cpuAtMs) / 1000),
    ...(firstError === undefined ? {} : { firstError }),
  };
  process.stdout.write(JSON.stringify(result), () => process.exit(0));
  for (const socket of sockets) socket.terminate();
}

function makeCycle(weights: readonly number[]): Uint16Array {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const due = weights.map(() => 0);
  return Uint16Array.from({ length: Math.max(100, weights.length) }, () => {
    for (let index = 0; index < weights.length; index++) due[index]! += weights[index]! / total;
    const next = due.indexOf(Math.max(...due));
    due[next]! -= 1;
    return next;
  });
}
