/** Requests that are sent ahead of their answers: some are answered in turn, and whoever sends thousands is cut, while others are answered. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { connect, type TLSSocket } from "node:tls";
import { createThrowAwayPki, type ThrowAwayPki } from "../../src/base/pki/throw-away.ts";
import { ALLOW_EVERY_EDGE } from "../../src/core/allowance.ts";
import { startCore } from "../../src/core/core.ts";
import type { RunningCore } from "../../src/core/running-core.ts";
import { eventually } from "../support/until.ts";

/** For a busy machine. */
setDefaultTimeout(60_000);

const GET = "GET /core/v1/keys HTTP/1.1\r\nHost: localhost\r\n\r\n";
let pki: ThrowAwayPki;
let core: RunningCore;
const failures: string[] = [];

beforeAll(async () => {
  pki = await createThrowAwayPki("example.org");
  core = await startCore({
    listen: { hostname: "127.0.0.1", port: 0 },
    tls: pki.core,
    database: ":memory:",
    masterKey: randomBytes(32),
    allow: ALLOW_EVERY_EDGE,
    log: (_level, message, fields) => void failures.push(`${message}: ${fields?.reason}`),
  });
});
afterAll(() => core?.close());

interface Connection {
  readonly socket: TLSSocket;
  /** The status lines that came. */
  answers(): readonly string[];
  closed(): boolean;
}

async function open(edge: string): Promise<Connection> {
  const { ca, cert, key } = await pki.edge(edge);
  const socket = connect({ host: "127.0.0.1", port: core.port, ca, cert, key, servername: "localhost" });
  let text = "";
  let isClosed = false;
  socket.on("data", (bytes: Buffer) => {
    text += bytes.toString("latin1");
  });
  socket.on("close", () => {
    isClosed = true;
  });
  // A connection that is cut may be reset.
  socket.on("error", () => undefined);
  await new Promise((resolve) => socket.once("secureConnect", resolve));
  return { socket, answers: () => text.match(/HTTP\/1\.1 \d+/g) ?? [], closed: () => isClosed };
}

test("a few requests ahead are all answered, however often", async () => {
  const { socket, answers, closed } = await open("edge-1");
  for (let round = 1; round <= 10; round++) {
    socket.write(GET.repeat(8));
    await eventually(() => answers().length === round * 8, "eight answers more");
  }
  expect(new Set(answers())).toEqual(new Set(["HTTP/1.1 200"]));
  expect(closed()).toBe(false);
  socket.destroy();
});

test("thousands of requests ahead end their connection, and no other one", async () => {
  const quiet = await open("edge-2");
  const attacker = await open("edge-3");
  attacker.socket.write(GET.repeat(5_000));
  await eventually(() => attacker.closed(), "the attacker being cut");
  expect(attacker.answers().length).toBeLessThanOrEqual(8);
  expect(failures.filter((one) => one.includes("ahead of their answers"))).toHaveLength(1);
  quiet.socket.write(GET);
  await eventually(() => quiet.answers().length === 1, "the other one's answer");
  expect(core.counters.connections).toBe(1);
  quiet.socket.destroy();
});

test("a body that comes in one piece or in many arrives whole", async () => {
  await core.admin.createService("tenant-a", "billing");
  const record = { tenant: "tenant-a", service: "billing", version: 1, operation: "create", outcome: "ok" };
  const line = { ...record, principal: "p", count: 1, from: "2026-01-01T00:00:00Z", to: "2026-01-01T00:00:01Z" };
  const body = `${JSON.stringify(line)}\n`.repeat(2_000);
  const { socket, answers } = await open("edge-4");
  socket.write(
    `POST /core/v1/usage HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nIdempotency-Key: one\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  await eventually(() => answers().length === 1, "the answer");
  expect(await core.admin.usage()).toMatchObject([{ edge: "edge-4", count: 2_000 }]);
  socket.destroy();
});
