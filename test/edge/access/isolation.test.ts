import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { fromBase64url, toBase64url } from "../../../src/base/base64url.ts";
import { bind } from "../../../src/base/module.ts";
import { parseBlob } from "../../../src/edge/cipher/blob.ts";
import type { KeySource, LeaseGrant, LeaseRequest } from "../../../src/edge/key-source/key-source.ts";
import { CHOSEN_KEY_SOURCES } from "../../../src/edge/key-source/module.ts";
import { type StaticEdge, startStaticEdge } from "../../support/static-edge.ts";

/** Names that would meet in a careless cache key: joined by the characters that names may hold. */
const TRICKY: readonly (readonly [tenant: string, service: string])[] = [
  ["a", "b:c"],
  ["a:b", "c"],
  ["a.b", "c"],
  ["a", "b.c"],
  ["a-b", "c"],
  ["a_b", "c"],
  ["A", "b:c"],
  ["constructor", "prototype"],
  ["toString", "valueOf"],
  ["1", "1"],
  ["01", "1"],
  ["a".repeat(128), "b"],
  ["a".repeat(127), "ab"],
];

const keyOf = (index: number): string => Bun.SHA256.hash(`key ${index}`, "hex");
const PLAIN = [
  ["tenant-a", "billing"],
  ["tenant-b", "billing"],
  ["tenant-a", "reports"],
] as const;
const keys = [...PLAIN, ...TRICKY].map(([tenant, service], index) => ({
  tenant,
  service,
  version: 1,
  state: "active",
  key: keyOf(index),
}));

const configuration = `
edge: { id: edge-test }
key_source: { use: static, static: { keys: ${JSON.stringify(keys)} } }
listeners:
  - { http: "127.0.0.1:0", principal: of-a }
  - { http: "127.0.0.1:0", principal: of-b }
  - { http: "127.0.0.1:0", principal: of-all }
policies:
  - { principals: [of-a], tenants: [tenant-a], services: [billing], operations: [create, decrypt, rewrap] }
  - { principals: [of-b], tenants: [tenant-b], services: [billing], operations: [create, decrypt, rewrap] }
  - { principals: [of-all], tenants: ["*"], services: ["*"], operations: [create, decrypt, rewrap] }
plugins: ["${resolve(import.meta.dir, "../../../plugins/static")}"]
log: { level: error }
key_memory: { dumpable: true }
`;

let edge: StaticEdge;
let [ofA, ofB, ofAll] = ["", "", ""];
beforeAll(async () => {
  edge = await startStaticEdge(configuration);
  [ofA = "", ofB = "", ofAll = ""] = edge.urls;
});
afterAll(() => edge.close());

interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the edge answers is judged by the test
  readonly body: any;
}

async function call(url: string, operation: string, body: object): Promise<Answer> {
  const response = await fetch(`${url}/v1/keys/${operation}`, {
    method: "POST",
    // A request id of its own would make every answer another.
    headers: { "content-type": "application/json", "x-request-id": "r-1" },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

async function create(
  url: string,
  tenant: string,
  service: string,
  more: object = {},
): Promise<{ wrapped: string; plaintext: string }> {
  const { status, body } = await call(url, "create", { tenant, service, plaintext: true, ...more });
  expect(status).toBe(201);
  return body;
}

const bytesOf = (wrapped: string): Uint8Array => fromBase64url(wrapped)!;

describe("a principal of one tenant", () => {
  test("can't open, make or rewrap another tenant's keys, nor those of another service", async () => {
    const { wrapped } = await create(ofB, "tenant-b", "billing");
    for (const operation of ["decrypt", "rewrap"]) {
      expect(await call(ofA, operation, { wrapped })).toMatchObject({ status: 403, body: { code: "access_denied" } });
    }
    expect(await call(ofA, "create", { tenant: "tenant-b", service: "billing" })).toMatchObject({ status: 403 });
    expect(await call(ofA, "create", { tenant: "tenant-a", service: "reports" })).toMatchObject({ status: 403 });
    expect((await call(ofB, "decrypt", { wrapped })).status).toBe(200);
  });

  test("can't tell a tenant that exists from one that does not", async () => {
    const answers = new Set<string>();
    for (const tenant of ["tenant-b", "tenant-z", "no-such-tenant", "a".repeat(128)]) {
      answers.add(JSON.stringify(await call(ofA, "create", { tenant, service: "billing" })));
    }
    const { wrapped } = await create(ofB, "tenant-b", "billing");
    answers.add(JSON.stringify(await call(ofA, "decrypt", { wrapped })));
    const bytes = Buffer.from(bytesOf(wrapped));
    bytes.write("tenant-z", 9, "latin1");
    answers.add(JSON.stringify(await call(ofA, "decrypt", { wrapped: toBase64url(bytes) })));
    expect(answers.size).toBe(1);
  });

  test("gets each item of a mixed batch judged by itself", async () => {
    const mine = await create(ofA, "tenant-a", "billing");
    const other = await create(ofB, "tenant-b", "billing");
    const damaged = Buffer.from(bytesOf(mine.wrapped));
    damaged[damaged.length - 1]! ^= 1;
    const items = [mine.wrapped, other.wrapped, "AAAA", toBase64url(damaged), mine.wrapped].map((wrapped) => ({
      wrapped,
    }));
    const { status, body } = await call(ofA, "decrypt-batch", { items });
    expect(status).toBe(200);
    expect(body.results).toMatchObject([
      { plaintext: mine.plaintext },
      { error: { code: "access_denied" } },
      { error: { code: "invalid_blob" } },
      { error: { code: "decryption_failed" } },
      { plaintext: mine.plaintext },
    ]);
    expect(JSON.stringify(body)).not.toContain(other.plaintext);
  });
});

test("a long batch leaves others their turn, and answers each item as a short one does", async () => {
  const mine = await create(ofA, "tenant-a", "billing");
  const other = await create(ofB, "tenant-b", "billing");
  const items = Array.from({ length: 5_000 }, (_, index) => ({
    wrapped: index % 2 === 0 ? mine.wrapped : other.wrapped,
  }));
  const order: string[] = [];
  const long = call(ofA, "decrypt-batch", { items }).then((answer) => {
    order.push("long");
    return answer;
  });
  const short = call(ofB, "decrypt", { wrapped: other.wrapped }).then(() => order.push("short"));
  const [{ status, body }] = await Promise.all([long, short]);
  expect(status).toBe(200);
  expect(body.results.length).toBe(5_000);
  for (const [index, result] of body.results.entries()) {
    if (index % 2 === 0) expect(result.plaintext).toBe(mine.plaintext);
    else expect(result.error.code).toBe("access_denied");
  }
  expect(order).toEqual(["short", "long"]);
});

test("a long batch of new keys leaves others their turn, as JSON and as bytes, and counts as one call", async () => {
  const bytes = Buffer.concat([
    Buffer.from([0, 0, 0x13, 0x88, 32, 1, 8]),
    Buffer.from("tenant-a"),
    Buffer.from([7]),
    Buffer.from("billing"),
    Buffer.alloc(2),
  ]);
  const ways: Record<string, () => Promise<Response>> = {
    "application/json": () =>
      fetch(`${ofA}/v1/keys/create-batch`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ tenant: "tenant-a", service: "billing", count: 5_000, plaintext: true }),
      }),
    "application/octet-stream": () =>
      fetch(`${ofA}/v1/keys/create-batch`, {
        method: "POST",
        headers: { "content-type": "application/octet-stream" },
        body: bytes,
      }),
  };
  await create(ofA, "tenant-a", "billing");
  const other = await create(ofB, "tenant-b", "billing");
  for (const [type, send] of Object.entries(ways)) {
    const order: string[] = [];
    const long = send().then(async (response) => {
      order.push("long");
      return response.arrayBuffer();
    });
    const short = call(ofB, "decrypt", { wrapped: other.wrapped }).then(() => order.push("short"));
    const [answer] = await Promise.all([long, short]);
    expect(`${type}: ${order}`).toBe(`${type}: short,long`);
    if (type !== "application/json") {
      expect(Buffer.from(answer).readUInt32BE(0)).toBe(5_000);
      continue;
    }
    const { keys } = JSON.parse(Buffer.from(answer).toString()) as {
      keys: { wrapped: string; plaintext: string; version: number }[];
    };
    expect(new Set(keys.map(({ wrapped }) => wrapped)).size).toBe(5_000);
    expect(new Set(keys.map(({ version }) => version)).size).toBe(1);
    const opened = await call(ofA, "decrypt", { wrapped: keys[4_999]!.wrapped });
    expect(opened.body.plaintext).toBe(keys[4_999]!.plaintext);
  }
});

describe("blobs", () => {
  test("with any field moved from another blob open for no one", async () => {
    const context = { object: "1" };
    const from = [
      await create(ofAll, "tenant-a", "billing", { context }),
      await create(ofAll, "tenant-b", "billing", { context }),
      await create(ofAll, "tenant-a", "billing"),
      await create(ofAll, "tenant-a", "billing", { context, length: 32 }),
    ].map(({ wrapped }) => bytesOf(wrapped));
    const target = from[0]!;
    const at = parseBlob(target);
    const fields: Record<string, readonly [number, number]> = {
      identity: [0, at.saltOffset],
      salt: [at.saltOffset, at.nonceOffset],
      nonce: [at.nonceOffset, at.commitmentOffset],
      commitment: [at.commitmentOffset, at.ciphertextOffset],
      ciphertext: [at.ciphertextOffset, at.tagOffset],
      tag: [at.tagOffset, target.length],
    };
    const names = Object.keys(fields);
    let tried = 0;
    for (const donor of from.slice(1)) {
      // Every choice of fields that come from the donor, but none of them and all of them.
      for (let choice = 1; choice < 2 ** names.length - 1; choice++) {
        const spliced = Uint8Array.from(target);
        names.forEach((name, index) => {
          const [start, end] = fields[name]!;
          if (choice & (2 ** index)) spliced.set(donor.subarray(start, end), start);
        });
        if (from.some((blob) => Buffer.compare(blob, spliced) === 0)) continue;
        const { status, body } = await call(ofAll, "decrypt", { wrapped: toBase64url(spliced), context });
        expect([status, body.code]).toEqual([422, "decryption_failed"]);
        tried++;
      }
    }
    expect(tried).toBeGreaterThan(100);
  });

  test("open under no other context, however alike it is written", async () => {
    const context = { a: "b", cd: "e" };
    const { wrapped, plaintext } = await create(ofAll, "tenant-a", "billing", { context });
    const alike: (object | undefined)[] = [
      undefined,
      {},
      { a: "b" },
      { cd: "e" },
      { a: "bcde" },
      { ab: "", cd: "e" },
      { a: "b", c: "de" },
      { a: "b", cde: "" },
      { a: "e", cd: "b" },
      { A: "b", cd: "e" },
      { a: "b", cd: "e", f: "" },
      { a: "b\u0000", cd: "e" },
    ];
    for (const other of alike) {
      const body = other === undefined ? { wrapped } : { wrapped, context: other };
      expect(await call(ofAll, "decrypt", body)).toMatchObject({ status: 422, body: { code: "decryption_failed" } });
    }
    // A name that JavaScript itself gives a meaning is a name like any other.
    const named = JSON.parse('{"__proto__":"x"}') as object;
    const proto = await create(ofAll, "tenant-a", "billing", { context: named });
    expect((await call(ofAll, "decrypt", { wrapped: proto.wrapped })).status).toBe(422);
    expect((await call(ofAll, "decrypt", { wrapped: proto.wrapped, context: named })).body.plaintext).toBe(
      proto.plaintext,
    );
    // The order of a map says nothing.
    expect((await call(ofAll, "decrypt", { wrapped, context: { cd: "e", a: "b" } })).body.plaintext).toBe(plaintext);
    const composed = await create(ofAll, "tenant-a", "billing", { context: { k: "é" } });
    expect((await call(ofAll, "decrypt", { wrapped: composed.wrapped, context: { k: "e\u0301" } })).status).toBe(422);
  });

  test("of tenants and services with tricky names never share a key", async () => {
    const made = await Promise.all(TRICKY.map(([tenant, service]) => create(ofAll, tenant, service)));
    for (const [index, { wrapped, plaintext }] of made.entries()) {
      const [tenant, service] = TRICKY[index]!;
      expect((await call(ofAll, "decrypt", { wrapped })).body).toMatchObject({ plaintext, tenant, service });
      const blob = bytesOf(wrapped);
      const rest = blob.subarray(parseBlob(blob).saltOffset);
      for (const [other] of made.entries()) {
        if (other === index) continue;
        const otherBlob = bytesOf(made[other]!.wrapped);
        const identity = otherBlob.subarray(0, parseBlob(otherBlob).saltOffset);
        const relabelled = toBase64url(Buffer.concat([identity, rest]));
        expect((await call(ofAll, "decrypt", { wrapped: relabelled })).status).toBe(422);
      }
    }
  });
});

describe("a key source that is not honest", () => {
  const dishonest = (grant: (request: LeaseRequest) => Partial<LeaseGrant>): KeySource => ({
    name: "dishonest",
    async lease(request) {
      return {
        tenant: request.tenant,
        service: request.service,
        ttlMs: 60_000,
        refreshAfterMs: 50_000,
        log: undefined,
        revocationSeq: 0,
        versions: [{ version: 1, state: "active", key: new Uint8Array(32).fill(7) }],
        ...grant(request),
      };
    },
    async close() {},
  });

  const lies: Record<string, (request: LeaseRequest) => Partial<LeaseGrant>> = {
    "answers for another tenant": () => ({ tenant: "tenant-b" }),
    "answers for another service": () => ({ service: "reports" }),
    "answers with a name that only looks alike": ({ tenant }) => ({ tenant: `${tenant}\u0000` }),
    "answers with no key": () => ({ versions: [] }),
    "answers with a short key": () => ({ versions: [{ version: 1, state: "active", key: new Uint8Array(16) }] }),
    "answers with no time left": () => ({ ttlMs: 0 }),
  };
  for (const [lie, grant] of Object.entries(lies)) {
    test(`that ${lie} serves no one`, async () => {
      const deceived = await startStaticEdge(configuration, [bind(CHOSEN_KEY_SOURCES, [dishonest(grant)])]);
      try {
        const answer = await call(deceived.urls[0]!, "create", { tenant: "tenant-a", service: "billing" });
        expect(answer).toMatchObject({ status: 503, body: { code: "lease_unavailable" } });
      } finally {
        await deceived.close();
      }
    });
  }

  test("that is honest serves: the edge of these tests is a real one", async () => {
    const honest = await startStaticEdge(configuration, [bind(CHOSEN_KEY_SOURCES, [dishonest(() => ({}))])]);
    try {
      expect((await call(honest.urls[0]!, "create", { tenant: "tenant-a", service: "billing" })).status).toBe(201);
    } finally {
      await honest.close();
    }
  });
});

test("a denied call looks for no lease, asks no key source and is answered alike for every tenant there is or is not", async () => {
  const asked: string[] = [];
  const counting: KeySource = {
    name: "counting",
    async lease({ tenant, service }) {
      asked.push(tenant);
      return {
        tenant,
        service,
        ttlMs: 60_000,
        refreshAfterMs: 50_000,
        log: undefined,
        revocationSeq: 0,
        versions: [{ version: 1, state: "active", key: new Uint8Array(32).fill(7) }],
      };
    },
    async close() {},
  };
  const counted = await startStaticEdge(configuration, [bind(CHOSEN_KEY_SOURCES, [counting])]);
  try {
    const [byA = "", byB = "", byAll = ""] = counted.urls;
    const leaseCounts = async (): Promise<string[]> =>
      (await (await fetch(`${byAll}/metrics`)).text())
        .split("\n")
        .filter((line) => /^crypto_edge_(lease|source)/.test(line) && !line.includes("seconds"));
    const blobOf = (wrapped: string, tenant: string): string => {
      // The same blob with another tenant of the same length in its header: denied before anything is opened.
      const bytes = Buffer.from(fromBase64url(wrapped)!);
      const place = bytes.indexOf("tenant-b");
      bytes.write(tenant, place, "latin1");
      return toBase64url(bytes);
    };
    const leased = await create(byB, "tenant-b", "billing");
    expect(asked).toEqual(["tenant-b"]);
    const before = await leaseCounts();
    expect(before.length).toBeGreaterThan(0);

    // tenant-b's lease is held, tenant-x would be leased to whoever may, and made-up names follow.
    for (const operation of ["create", "decrypt", "rewrap"]) {
      const answers = new Set<string>();
      for (const tenant of [
        "tenant-b",
        "tenant-x",
        ...Array.from({ length: 48 }, (_, index) => `made-u${index + 10}`),
      ]) {
        const body =
          operation === "create" ? { tenant, service: "billing" } : { wrapped: blobOf(leased.wrapped, tenant) };
        const response = await fetch(`${byA}/v1/keys/${operation}`, {
          method: "POST",
          headers: { "content-type": "application/json", "x-request-id": "r-1" },
          body: JSON.stringify(body),
        });
        const headers = [...response.headers].filter(([name]) => name !== "date");
        answers.add(`${response.status} ${JSON.stringify(headers)} ${await response.text()}`);
      }
      expect([...answers]).toHaveLength(1);
      expect([...answers][0]).toMatch(/^403 .*"code":"access_denied"/);
    }
    expect(await leaseCounts()).toEqual(before);
    expect(asked).toEqual(["tenant-b"]);
  } finally {
    await counted.close();
  }
});

test("status and metrics, which name tenants, are served only where they were asked for", async () => {
  const text = configuration.replace("principal: of-b }", "principal: of-b, status: false }");
  const closed = await startStaticEdge(text);
  try {
    expect((await fetch(`${closed.urls[0]}/v1/status`)).status).toBe(200);
    for (const path of ["/v1/status", "/metrics"]) expect((await fetch(`${closed.urls[1]}${path}`)).status).toBe(404);
    expect((await fetch(`${closed.urls[1]}/readyz`)).status).toBe(200);
  } finally {
    await closed.close();
  }
});
