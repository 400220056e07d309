/**
 * Whether the time of a denied call tells which tenants there are: calls that the policy denies, for tenants whose lease the
 * edge holds, for tenants that exist but are not leased, and for made-up ones, in turns over one connection.
 */
import { connect, type Socket } from "node:net";
import { encodeContext } from "../src/edge/cipher/context.ts";
import { CIPHER } from "./harness/ciphers.ts";
import type { BenchContext } from "./harness/context.ts";
import { startServer } from "./harness/processes.ts";
import { compare, median } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about = "the time of a denied call, for tenants that exist and that don't";

/** Enough that none is special, few enough that every name is asked for often. */
const TENANTS = 64;
const KINDS = ["leased", "existing", "made-up", "other made-up"] as const;
type Kind = (typeof KINDS)[number];

interface Name {
  readonly kind: Kind;
  readonly tenant: string;
  /** 32 bytes; an edge knows none of those made up. */
  readonly key: Uint8Array;
}

export async function run(context: BenchContext): Promise<Row[]> {
  // All names are alike but for whether anyone knows them.
  const names = shuffle(
    KINDS.flatMap((kind) => Array.from({ length: TENANTS }, () => kind)).map(
      (kind): Name => ({
        kind,
        tenant: `tenant-${Buffer.from(crypto.getRandomValues(new Uint8Array(6))).toString("hex")}`,
        key: crypto.getRandomValues(new Uint8Array(32)),
      }),
    ),
  );
  const operations = ["create", "decrypt", "rewrap"];
  const server = await startServer("edge.ts", {
    configuration: {
      key_source: {
        use: "static",
        static: {
          keys: names
            .filter(({ kind }) => kind === "leased" || kind === "existing")
            .map(({ tenant, key }) => ({
              tenant,
              service: "billing",
              version: 1,
              state: "active",
              key: Buffer.from(key).toString("hex"),
            })),
        },
      },
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
  for (const { tenant } of names.filter(({ kind }) => kind === "leased")) {
    const answer = await fetch(`http://127.0.0.1:${alicePort}/v1/keys/create`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: createBody(tenant),
    });
    if (answer.status !== 201) throw new Error(`the lease of ${tenant} was not taken: ${await answer.text()}`);
  }

  const connection = await Connection.open(malloryPort);
  context.cleanUp(() => connection.end());
  const rows: Row[] = [];
  for (const [operation, bodyOf] of Object.entries({ create: createOf, decrypt: decryptOf })) {
    const calls = names.map((name) => ({ kind: name.kind, request: requestBytes(operation, bodyOf(name)) }));
    const rounds: Record<Kind, number[]>[] = [];
    await measure(connection, calls, context.sampleMs / 2);
    for (let round = 0; round < context.rounds; round++) {
      rounds.push(await measure(connection, shuffle(calls), context.sampleMs));
    }
    const of = (kind: Kind): number[] => rounds.map((times) => median(times[kind]));
    const all = (kind: Kind): number[] => rounds.flatMap((times) => times[kind]);
    for (const [kind, what] of Object.entries({
      leased: "a tenant whose lease is held",
      existing: "an existing tenant, not leased",
      "other made-up": "a made-up tenant (what noise alone does)",
    }) as [Kind, string][]) {
      const found = compare(of(kind), of("made-up"));
      rows.push(
        row({
          name: `denied: ${operation} for ${what}`,
          ...found,
          // Slower or faster: either would tell.
          ratio: Math.max(found.ratio, 1 / found.ratio),
          baselineName: "a made-up tenant",
          unit: "µs",
          goal: kind === "other made-up" ? null : { of: "ratio", atMost: 1.05 },
          note: `who guesses which of two such calls is the slower one is right in ${(100 * slowerShare(all(kind), all("made-up"))).toFixed(1)} % of ${all(kind).length} calls (50: nothing is told)`,
        }),
      );
    }
  }
  return rows;
}

/** Asks for every name in turn, again and again; microseconds from the request's first byte to the answer's last. */
async function measure(
  connection: Connection,
  calls: readonly { readonly kind: Kind; readonly request: Buffer }[],
  forMs: number,
): Promise<Record<Kind, number[]>> {
  const times: Record<Kind, number[]> = { leased: [], existing: [], "made-up": [], "other made-up": [] };
  const endMs = performance.now() + forMs;
  do {
    for (const { kind, request } of calls) {
      const startMs = performance.now();
      const status = await connection.ask(request);
      times[kind].push((performance.now() - startMs) * 1000);
      if (status !== "403") throw new Error(`a call that must be denied was answered ${status}`);
    }
  } while (performance.now() < endMs);
  return times;
}

/** How often one of the first is slower than one of the second: 0.5 where the two can't be told apart. */
function slowerShare(first: readonly number[], second: readonly number[]): number {
  const all = [...first.map((time) => ({ time, isFirst: true })), ...second.map((time) => ({ time, isFirst: false }))];
  all.sort((a, b) => a.time - b.time);
  let secondBefore = 0;
  let slower = 0;
  for (let start = 0; start < all.length; ) {
    let end = start;
    while (end < all.length && all[end]!.time === all[start]!.time) end++;
    const tied = all.slice(start, end);
    const secondTied = tied.filter(({ isFirst }) => !isFirst).length;
    slower += (tied.length - secondTied) * (secondBefore + secondTied / 2);
    secondBefore += secondTied;
    start = end;
  }
  return slower / (first.length * second.length);
}

function createBody(tenant: string): string {
  return JSON.stringify({ tenant, service: "billing" });
}

function createOf({ tenant }: Name): string {
  return createBody(tenant);
}

/** A blob as the name's owner would have made it. */
function decryptOf({ tenant, key }: Name): string {
  const identity = { tenant, service: "billing", version: 1 };
  const session = CIPHER.begin(identity, { use: (reader) => reader(key) });
  const wrapped = session.wrap(crypto.getRandomValues(new Uint8Array(32)), encodeContext(undefined));
  session.wipe();
  return JSON.stringify({ wrapped: Buffer.from(wrapped).toString("base64url") });
}

function requestBytes(operation: string, body: string): Buffer {
  return Buffer.from(
    `POST /v1/keys/${operation} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
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
