/**
 * Whether the time of a denied call tells which tenants there are. Mallory, whom the policy denies everything, asks for each name
 * once: names whose lease the edge holds, names that Alice, who may do everything, has just named, and names that nobody ever
 * named. Two of them are asked one after the other, in an order left to chance; who guesses by the time is right half the time
 * where nothing is told.
 */
import { connect, type Socket } from "node:net";
import { encodeIdentity } from "../src/edge/cipher/blob.ts";
import type { BenchContext } from "./harness/context.ts";
import { startServer } from "./harness/processes.ts";
import { type Row, row } from "./harness/row.ts";
import { seededNames } from "./harness/seeded-names.ts";

export const about = "the time of a denied call, for tenants in use and for others";

/** Leases that the edge holds: their names are asked for once each. */
const LEASED = 6_000;
const SINGLES = 6_000;
const BATCHES = 1_500;
const BATCH = 40;
const WARM_UP = 2_000;
/** 52 of 100 guesses right, where 50 are by chance. */
const TOLD_AT_MOST = 1.04;

export async function run(context: BenchContext): Promise<Row[]> {
  const seed = crypto.randomUUID();
  const leased = seededNames(seed, LEASED);
  const operations = ["create", "decrypt", "rewrap"];
  const server = await startServer("edge.ts", {
    tenants: { seed, count: LEASED },
    configuration: {
      listeners: [
        { http: "127.0.0.1:0", principal: "alice" },
        { http: "127.0.0.1:0", principal: "mallory" },
      ],
      policies: [
        { principals: ["alice"], tenants: ["*"], services: ["*"], operations },
        { principals: ["mallory"], tenants: ["of-mallory"], services: ["*"], operations },
      ],
    },
  });
  context.cleanUp(() => server.stop());
  const [alicePort = 0, malloryPort = 0] = (server.ready.addresses as string[]).map((url) => Number(new URL(url).port));
  const alice = await Connection.open(alicePort);
  const mallory = await Connection.open(malloryPort);
  context.cleanUp(() => {
    alice.end();
    mallory.end();
  });

  for (const tenant of leased) expectStatus("201", await alice.ask(create(tenant)));
  for (const tenant of names(WARM_UP)) {
    expectStatus("403", await mallory.ask(decrypt(tenant)));
    expectStatus("403", await mallory.ask(create(tenant)));
  }

  const rounds = context.isGuard ? 1 : 2;
  return [
    rowOf("create for a tenant whose lease is held", await compareTimes(mallory, leased.slice(0, LEASED / 2), create)),
    rowOf("decrypt for a tenant whose lease is held", await compareTimes(mallory, leased.slice(LEASED / 2), decrypt)),
    rowOf(
      "decrypt for a tenant just named",
      await compareTimes(mallory, names(rounds * SINGLES), decrypt, async (tenant) => {
        await alice.ask(decrypt(tenant));
      }),
    ),
    rowOf(
      `a batch of ${BATCH} for tenants just named`,
      await compareTimes(
        mallory,
        Array.from({ length: rounds * BATCHES }, () => names(BATCH)),
        decryptBatch,
        async (tenants) => {
          await alice.ask(decryptBatch(tenants));
        },
      ),
    ),
    rowOf(
      "decrypt for a tenant that nobody named (what noise alone does)",
      await compareTimes(mallory, names(rounds * SINGLES), decrypt),
    ),
  ];
}

interface Times {
  /** Of names that are in use. */
  readonly known: number[];
  /** Of names that nobody named before, each asked right before or after. */
  readonly unknown: number[];
}

/** Asks for each of `known` once, and for a made-up name (or batch of them) beside it; `use` has it used right before. */
async function compareTimes<Named extends string | readonly string[]>(
  mallory: Connection,
  known: readonly Named[],
  requestOf: (named: Named) => Buffer,
  use: (named: Named) => Promise<void> = async () => {},
): Promise<Times> {
  const times: Times = { known: [], unknown: [] };
  for (const named of known) {
    await use(named);
    const madeUp = (typeof named === "string" ? names(1)[0] : names(named.length)) as Named;
    const requests = shuffle([
      { request: requestOf(named), to: times.known },
      { request: requestOf(madeUp), to: times.unknown },
    ]);
    for (const { request, to } of requests) {
      const startMs = performance.now();
      const status = await mallory.ask(request);
      to.push((performance.now() - startMs) * 1000);
      if (status !== "403" && status !== "200") throw new Error(`a call that must be denied was answered ${status}`);
    }
  }
  return times;
}

function rowOf(what: string, { known, unknown }: Times): Row {
  const right = known.filter((time, index) => time < unknown[index]!).length;
  const tied = known.filter((time, index) => time === unknown[index]!).length;
  const share = (right + tied / 2) / known.length;
  return row({
    name: `denied: ${what}`,
    value: 100 * Math.max(share, 1 - share),
    baseline: 50,
    baselineName: "chance",
    // Faster or slower: either would tell.
    ratio: Math.max(share, 1 - share) / 0.5,
    spread: 1 / Math.sqrt(known.length),
    unit: "% of guesses right",
    goal: { of: "ratio", atMost: TOLD_AT_MOST },
    note: `the name in use is the faster one in ${(100 * share).toFixed(1)} % of ${known.length} pairs; chance alone strays by ${(50 / Math.sqrt(known.length)).toFixed(1)}`,
  });
}

/** Names that are alike but for chance: as many as wanted, none of them twice. */
function names(count: number): string[] {
  return Array.from(
    { length: count },
    () => `tenant-${Buffer.from(crypto.getRandomValues(new Uint8Array(6))).toString("hex")}`,
  );
}

function create(tenant: string): Buffer {
  return post("create", { tenant, service: "billing" });
}

function decrypt(tenant: string): Buffer {
  return post("decrypt", { wrapped: blobOf(tenant) });
}

function decryptBatch(tenants: readonly string[]): Buffer {
  return post("decrypt-batch", { items: tenants.map((tenant) => ({ wrapped: blobOf(tenant) })) });
}

/** A blob that is not malformed: who may not open it can't know whether it would open. */
function blobOf(tenant: string): string {
  const identity = encodeIdentity({ tenant, service: "billing", version: 1 });
  return Buffer.concat([identity, crypto.getRandomValues(new Uint8Array(16 + 12 + 32 + 32 + 16))]).toString(
    "base64url",
  );
}

function post(operation: string, body: object): Buffer {
  const text = JSON.stringify(body);
  return Buffer.from(
    `POST /v1/keys/${operation} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
  );
}

function expectStatus(expected: string, status: string): void {
  if (status !== expected) throw new Error(`the edge answered ${status} instead of ${expected}`);
}

function shuffle<T>(values: readonly T[]): T[] {
  const shuffled = [...values];
  for (let last = shuffled.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    [shuffled[last], shuffled[other]] = [shuffled[other]!, shuffled[last]!];
  }
  return shuffled;
}

/** One request after another, with as little as possible between the clock and the socket. */
class Connection {
  readonly #socket: Socket;
  #received = "";
  #answered: ((status: string) => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.setEncoding("latin1");
    socket.on("data", (text: unknown) => this.#take(String(text)));
  }

  static open(port: number): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, "127.0.0.1", () => resolve(new Connection(socket)));
      socket.once("error", reject);
    });
  }

  ask(request: Buffer): Promise<string> {
    return new Promise((resolve) => {
      this.#answered = resolve;
      this.#socket.write(request);
    });
  }

  end(): void {
    this.#socket.destroy();
  }

  #take(text: string): void {
    this.#received += text;
    const headEnd = this.#received.indexOf("\r\n\r\n");
    if (headEnd === -1) return;
    const length = /\r\ncontent-length: (\d+)/i.exec(this.#received)?.[1];
    if (length === undefined) throw new Error("an answer without a length");
    if (this.#received.length < headEnd + 4 + Number(length)) return;
    const status = this.#received.slice(9, 12);
    this.#received = "";
    this.#answered?.(status);
  }
}
