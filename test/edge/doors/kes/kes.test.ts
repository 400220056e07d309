/** docs/door-kes.md: the routes, statuses and texts of KES. Its clients compare texts exactly, so do these tests. */
import "reflect-metadata";

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import type { DoorContext } from "../../../../src/edge/doors/door.ts";
import { createKesDoor } from "../../../../src/edge/doors/kes/door.ts";
import { type DoorEdge, startDoorEdge } from "../../../support/door-edge.ts";
import { fc } from "../../../support/properties.ts";

const KEYS = `{
  my-key: { tenant: tenant-a, service: billing },
  my_other: { tenant: tenant-a, service: orders },
  same: { tenant: tenant-a, service: billing },
  denied: { tenant: denied, service: billing },
  nosuch: { tenant: nosuch, service: billing },
  revoked: { tenant: revoked, service: billing },
  away: { tenant: away, service: billing }
}`;

let edge: DoorEdge;
beforeAll(async () => {
  edge = await startDoorEdge({
    listeners: `  - { http: "127.0.0.1:0", principal: local, status: false, doors: [kes, native] }`,
    doors: `{ kes: { keys: ${KEYS.replaceAll("\n", " ")} } }`,
  });
});
afterAll(() => edge.close());

interface Answer {
  readonly status: number;
  readonly type: string | null;
  readonly retryAfter: string | null;
  readonly text: string;
  readonly body: Record<string, string> & { readonly names?: string[] };
}

async function call(method: string, path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(edge.url + path, {
    method,
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return {
    status: response.status,
    type: response.headers.get("content-type"),
    retryAfter: response.headers.get("retry-after"),
    text,
    body: text.startsWith("{") ? JSON.parse(text) : {},
  };
}

/** With one byte another. */
function altered(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at]! ^= 1;
  return copy;
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const FAILS = {
  "key does not exist": 404,
  "not authorized: insufficient permissions": 403,
  "decryption failed: ciphertext is not authentic": 400,
};

function expectFailure(answer: Answer, message: keyof typeof FAILS): void {
  expect(answer).toMatchObject({ status: FAILS[message], type: "application/json", text: JSON.stringify({ message }) });
}

describe("generate, encrypt and decrypt", () => {
  test.each(["POST", "PUT"])("by %s: a data key of 32 bytes, in base64 with padding, and back", async (method) => {
    const made = await call(method, "/v1/key/generate/my-key", {});
    expect(made.status).toBe(200);
    expect(made.type).toBe("application/json");
    expect(made.body.plaintext).toMatch(/^[A-Za-z0-9+/]{43}=$/);
    const opened = await call(method, "/v1/key/decrypt/my-key", { ciphertext: made.body.ciphertext });
    expect(opened.body).toEqual({ plaintext: made.body.plaintext! });
    const bytes = Buffer.from(made.body.ciphertext!, "base64");
    expect(bytes[3]).toBe(1);
  });

  test("bytes that the caller chose are a value", async () => {
    for (const plaintext of [base64("x"), base64("a text of any length"), Buffer.alloc(65_536, 7).toString("base64")]) {
      const { body } = await call("POST", "/v1/key/encrypt/my_other", { plaintext });
      expect(Buffer.from(body.ciphertext!, "base64")[3]).toBe(2);
      expect((await call("POST", "/v1/key/decrypt/my_other", { ciphertext: body.ciphertext })).body).toEqual({
        plaintext,
      });
    }
    for (const plaintext of ["", Buffer.alloc(65_537).toString("base64")]) {
      expect((await call("POST", "/v1/key/encrypt/my-key", { plaintext })).status).toBe(400);
    }
  });

  test("a context of any bytes and length is bound; none, empty and null are the same, {} is another", async () => {
    const contexts = [base64("{}"), base64('{"bucket":"bucket/object"}'), Buffer.alloc(700_000, 1).toString("base64")];
    for (const context of contexts) {
      const { body } = await call("POST", "/v1/key/generate/my-key", { context });
      const decrypt = (other?: string): Promise<Answer> =>
        call("POST", "/v1/key/decrypt/my-key", {
          ciphertext: body.ciphertext,
          ...(other === undefined ? {} : { context: other }),
        });
      expect((await decrypt(context)).status).toBe(200);
      for (const wrong of [undefined, "", base64("{ }"), ...contexts.filter((other) => other !== context)]) {
        expectFailure(await decrypt(wrong), "decryption failed: ciphertext is not authentic");
      }
    }
    const { body } = await call("POST", "/v1/key/generate/my-key", { context: "" });
    for (const context of [undefined, "", null]) {
      expect((await call("POST", "/v1/key/decrypt/my-key", { ciphertext: body.ciphertext, context })).status).toBe(200);
    }
    expect(
      (await call("POST", "/v1/key/decrypt/my-key", { ciphertext: body.ciphertext, context: base64("{}") })).status,
    ).toBe(400);
  });

  test("a ciphertext is one of the name in the path, whole and unchanged", async () => {
    const { body } = await call("POST", "/v1/key/generate/my-key", {});
    const bytes = Buffer.from(body.ciphertext!, "base64");
    const decrypt = (name: string, ciphertext: Buffer): Promise<Answer> =>
      call("POST", `/v1/key/decrypt/${name}`, { ciphertext: ciphertext.toString("base64") });
    expect((await decrypt("same", bytes)).status).toBe(200);
    for (const [name, ciphertext] of [
      ["my_other", bytes],
      ["denied", bytes],
      ["my-key", altered(bytes, 60)],
      ["my-key", bytes.subarray(0, -1)],
      ["my-key", Buffer.concat([bytes, Buffer.of(0)])],
      ["my-key", Buffer.alloc(0)],
      ["my-key", Buffer.from('{"aead":"AES-256-GCM-HMAC-SHA-256"}')],
      ["my-key", Buffer.from("95aa", "hex")],
    ] as const) {
      expectFailure(await decrypt(name, ciphertext), "decryption failed: ciphertext is not authentic");
    }
  });

  test("a blob with a context of the door's own opens at no other door", async () => {
    const { body } = await call("POST", "/v1/key/generate/my-key", { context: base64("{}") });
    const wrapped = Buffer.from(body.ciphertext!, "base64").toString("base64url");
    const hash = createHash("sha256").update("{}").digest("hex");
    const { status } = await call("POST", "/v1/keys/decrypt", { wrapped, context: { "kes:context": hash } });
    expect(status).not.toBe(200);
  });
});

describe("what is refused", () => {
  test("in the words that kms-go compares, before anything is told of the key", async () => {
    const body = { plaintext: base64("x"), context: "" };
    for (const operation of ["generate", "encrypt"]) {
      const at = (name: string): Promise<Answer> => call("POST", `/v1/key/${operation}/${name}`, body);
      expectFailure(await at("unknown"), "key does not exist");
      expectFailure(await at("nosuch"), "key does not exist");
      expectFailure(await at("denied"), "not authorized: insufficient permissions");
      expectFailure(await at("revoked"), "not authorized: insufficient permissions");
      expect(await at("away")).toMatchObject({ status: 503, retryAfter: expect.stringMatching(/^[0-9]+$/) });
    }
    for (const name of ["unknown", "nosuch"])
      expectFailure(await call("GET", `/v1/key/describe/${name}`), "key does not exist");
    for (const name of ["denied", "revoked"]) {
      expectFailure(await call("GET", `/v1/key/describe/${name}`), "not authorized: insufficient permissions");
    }
  });

  test("calls that need state are 403, whatever the name; hmac is 501", async () => {
    for (const name of ["my-key", "new-key"]) {
      for (const method of ["POST", "PUT"]) {
        expectFailure(await call(method, `/v1/key/create/${name}`), "not authorized: insufficient permissions");
        expectFailure(
          await call(method, `/v1/key/import/${name}`, { key: "" }),
          "not authorized: insufficient permissions",
        );
        expect(await call(method, `/v1/key/hmac/${name}`, {})).toMatchObject({ status: 501 });
      }
      expectFailure(await call("DELETE", `/v1/key/delete/${name}`), "not authorized: insufficient permissions");
    }
  });

  test("names and bodies that are none are 400, other paths 404, other methods 405, long bodies 413, all as JSON", async () => {
    for (const name of ["-a", "a-", "a.b", "a%2Fb", "%ff", "%", "a".repeat(81), "%2A", "my-ke%79"]) {
      expect(await call("POST", `/v1/key/generate/${name}`, {})).toMatchObject({
        status: 400,
        type: "application/json",
      });
    }
    for (const body of [
      "",
      "[]",
      "null",
      "1",
      '"x"',
      "{",
      '{"context":1}',
      '{"context":"QQ"}',
      '{"context":"QR=="}',
      '{"context":"Q-=="}',
      "\ufeff{}x",
    ]) {
      const answer = await call("POST", "/v1/key/generate/my-key", body);
      expect(answer).toMatchObject({ status: 400, type: "application/json" });
      expect(answer.body.message).toBeString();
    }
    expect(await call("POST", "/v1/key/generate", {})).toMatchObject({ status: 404 });
    expect(await call("GET", "/v1/key/nothing/x")).toMatchObject({ status: 404 });
    expect(await call("GET", "/v1/key/generate/my-key")).toMatchObject({ status: 405, type: "application/json" });
    const long = await call("POST", "/v1/key/generate/my-key", `{"context":"${"A".repeat(1024 * 1024)}"}`);
    expect(long).toMatchObject({ status: 413, type: "application/json" });
  });
});

test("whatever a caller sends is answered as JSON with a status that is KES's, never as a defect", async () => {
  const path = fc.oneof(
    fc.constantFrom("/v1/key/generate/my-key", "/v1/key/encrypt/my-key", "/v1/key/decrypt/my-key", "/v1/key/list/my"),
    fc
      .array(
        fc.oneof(fc.constantFrom("v1", "key", "generate", "decrypt", "list", "%", "..", "%2e", "my-key"), fc.string()),
      )
      .map((parts) => `/v1/key/${parts.map((part) => part.replaceAll(/[^ -~]|[#?\s]/g, "")).join("/")}`),
  );
  const value = fc.oneof(fc.jsonValue(), fc.base64String(), fc.constant(undefined));
  const body = fc.oneof(
    fc.string(),
    fc.record({ plaintext: value, ciphertext: value, context: value }).map((members) => JSON.stringify(members)),
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom("POST", "PUT", "GET", "DELETE", "PATCH"), path, body, async (method, to, text) => {
      const answer = await call(method, to, method === "GET" ? undefined : text);
      expect([200, 400, 403, 404, 405]).toContain(answer.status);
      if (answer.text !== "") expect(() => JSON.parse(answer.text)).not.toThrow();
    }),
    { numRuns: 500 },
  );
}, 300_000);

describe("what is told", () => {
  test("of the server, its health, and the caller", async () => {
    expect((await call("GET", "/version")).body.version).toBeString();
    expect(await call("GET", "/v1/ready")).toMatchObject({ status: 200, text: "" });
    expect((await call("GET", "/v1/status")).body).toMatchObject({
      version: expect.any(String),
      uptime: expect.any(Number),
    });
    expect((await call("GET", "/v1/identity/self/describe")).body).toMatchObject({
      identity: "",
      policy: "",
      allow: {},
      deny: {},
    });
  });

  test("of a key: an algorithm that kms-go can parse, a date that Go can read", async () => {
    expect((await call("GET", "/v1/key/describe/my-key")).body).toMatchObject({
      name: "my-key",
      algorithm: "AES256",
      created_at: "0001-01-01T00:00:00Z",
    });
  });

  test("of the names: those that the caller may use, by prefix, a star passed over", async () => {
    const list = async (path: string): Promise<string[] | undefined> => (await call("GET", path)).body.names;
    const all = ["away", "my-key", "my_other", "revoked", "same"];
    for (const path of ["/v1/key/list", "/v1/key/list/", "/v1/key/list/*", "/v1/key/list/%2A"])
      expect(await list(path)).toEqual(all);
    expect(await list("/v1/key/list/my")).toEqual(["my-key", "my_other"]);
    expect(await list("/v1/key/list/my_%2A")).toEqual(["my_other"]);
    expect(await list("/v1/key/list/zz")).toEqual([]);
    for (const prefix of ["a%20b", "%6Dy_"]) {
      expect([prefix, (await call("GET", `/v1/key/list/${prefix}`)).status]).toEqual([prefix, 400]);
    }
  });
});

test("a name in the table that no client can give is a mistake of the configuration", () => {
  const context = { now: { monotonicMs: () => 0, wallMs: () => 0 } } as unknown as DoorContext;
  for (const name of ["a.b", "-a", "a-", "", "a".repeat(81)]) {
    expect(() => createKesDoor({ keys: { [name]: { tenant: "t", service: "s" } } }, context)).toThrow(
      "no name of a KES key",
    );
  }
});
