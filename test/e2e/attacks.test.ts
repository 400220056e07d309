/** The running executable under attack: every try of docs/security.md, and what came of it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type AttackedEdge, startAttackedEdge } from "../support/attacked-edge.ts";
import { ATTACKS, type Ends, exchange, MALFORMED, manyConnections, SMUGGLED, statusesOf } from "../support/attacks.ts";
import { documentedStatuses } from "../support/documented.ts";
import { BINARY } from "./support/binary.ts";

let edge: AttackedEdge;
/** All that the edge's own OpenAPI document tells of. */
let documented: ReadonlySet<string>;
beforeAll(async () => {
  edge = await startAttackedEdge({
    binary: BINARY,
    limits: { request_timeout: "2s", max_connections: 12_000, max_connections_per_principal: 12_000 },
  });
  const document = await (await fetch(`http://127.0.0.1:${edge.httpPort}/openapi.json`)).json();
  documented = documentedStatuses(document as object);
}, 300_000);
afterAll(async () => {
  expect(await edge.stop()).toBe(0);
}, 300_000);

/** Serves at once, as if nothing had happened. */
async function expectServing(): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${edge.httpPort}/v1/keys/create`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ tenant: "tenant-a", service: "billing" }),
    signal: AbortSignal.timeout(5_000),
  });
  expect(response.status).toBe(201);
  const tls = { ca: edge.ca, cert: edge.alice.certificate, key: edge.alice.key };
  const overTls = await fetch(`https://127.0.0.1:${edge.httpsPort}/livez`, { tls, keepalive: false } as RequestInit);
  expect(overTls.status).toBe(200);
  const defects = edge
    .log()
    .split("\n")
    .filter((line) => line.includes("defect"));
  expect(defects.slice(0, 2)).toEqual([]);
}

const codes = (ends: Ends): string[] => Object.keys(ends).flatMap((end) => end.split("+"));

describe("a malformed request", () => {
  for (const transport of ["http", "https"] as const) {
    test(`over ${transport} is refused, never obeyed and never a failure`, async () => {
      for (const [name, bytes] of Object.entries(MALFORMED)) {
        const end = statusesOf(await exchange(edge, transport, bytes));
        // HTTP/0.9's form of a request is answered by one of the runtime's parsers, as a plain GET.
        if (name === "no version") expect(["505", "400", "200", "closed"]).toContain(end);
        else expect(`${name}: ${end}`).toMatch(/: (4\d\d|505|closed|open)$/);
        expectDocumented(name, [end]);
      }
      await expectServing();
    });

    test(`over ${transport} that two readers could understand differently hides no second request`, async () => {
      for (const [name, bytes] of Object.entries(SMUGGLED)) {
        const end = statusesOf(await exchange(edge, transport, bytes));
        expect(`${name}: ${end}`).toMatch(/: (400|501|505|closed)$/);
        expectDocumented(name, [end]);
      }
      await expectServing();
    });
  }
});

function expectDocumented(name: string, ends: readonly string[]): void {
  const others = ends.flatMap((end) => end.split("+")).filter((end) => /^\d{3}$/.test(end) && !documented.has(end));
  expect(`${name}: ${others.join()}`).toBe(`${name}: `);
}

/** What may come of each attack, beside `closed` and `open`. */
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  "hostile JSON": ["400", "413", "201"],
  "100,000 bad blobs in batches": ["invalid_blob", "decryption_failed"],
  "made-up tenants": ["403"],
  "bodies of 16 MB, of shapes that are slow to read": ["400", "413"],
  "batches whose answers nobody reads, and callers that are gone": ["200", "201", "429"],
  "pages of other sites": ["403", "415"],
  "paths that mean another after tidying up": ["404"],
  "slow clients over http, while another is served": ["201"],
  "slow clients over https, while another is served": ["201"],
  "half-closed connections over http": ["201"],
  "half-closed connections over https": ["403"],
};

describe("the edge goes on serving through", () => {
  for (const attack of ATTACKS) {
    test(attack.name, async () => {
      const ends = await attack.run(edge);
      const expected = EXPECTED[attack.name];
      if (expected !== undefined) {
        for (const code of codes(ends)) expect([...expected, "closed", "open"]).toContain(code);
      }
      expect(codes(ends)).not.toContain("500");
      expectDocumented(attack.name, codes(ends));
      await expectServing();
    }, 300_000);
  }

  test("10,000 connections that say nothing", async () => {
    const ends = await manyConnections(edge, "http", 10_000);
    expect(ends["served 201"]).toBe(1);
    await expectServing();
  }, 300_000);

  test("10,000 TLS connections that say nothing", async () => {
    const ends = await manyConnections(edge, "https", 10_000);
    expect(ends).toEqual({ held: 10_000, "served 201": 1 });
    await expectServing();
  }, 240_000);
});

test("abuse leaves neither memory nor open files behind", async () => {
  const round = async (): Promise<void> => {
    for (const attack of ATTACKS) if (!attack.name.includes("slow")) await attack.run(edge);
    await manyConnections(edge, "https", 200);
  };
  /** The lowest of some seconds with a caller: before a collection there is what an attack has made, not what it leaves. */
  const level = async (): Promise<number> => {
    let lowest = Number.POSITIVE_INFINITY;
    for (let reading = 0; reading < 60; reading++) {
      await expectServing();
      await Bun.sleep(100);
      lowest = Math.min(lowest, edge.residentBytes());
    }
    return lowest;
  };
  await round();
  const before = await level();
  for (let rounds = 0; rounds < 3; rounds++) await round();
  let after = await level();
  // Generous: a leak of one connection's or one blob's worth for each try would be several times as much.
  const most = before * 1.5 + 64 * 2 ** 20;
  for (let tries = 0; after >= most && tries < 5; tries++) after = await level();
  expect(after).toBeLessThan(most);
  for (let tries = 0; edge.openFiles() > 120; tries++) {
    expect(tries).toBeLessThan(100);
    await Bun.sleep(100);
  }
  await expectServing();
}, 300_000);
