import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { parseBlob } from "../../../../src/edge/cipher/blob.ts";
import { CryptoEdgeError } from "../../../../src/sdk/client/index.ts";
import { type StaticEdge, startStaticEdge, staticConfiguration } from "../../../support/static-edge.ts";
import vectors from "../../../vectors/blob-v1.json" with { type: "json" };

let edge: StaticEdge;
beforeAll(async () => {
  edge = await startStaticEdge();
});
afterAll(() => edge.close());

const post = (operation: string, body: unknown): Promise<Response> => postTo(edge, operation, body);

function postTo(to: StaticEdge, operation: string, body: unknown): Promise<Response> {
  return fetch(`${to.url}/v1/keys/${operation}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

const KEY = { tenant: "tenant-a", service: "billing" };

describe("the API", () => {
  test("returns the wrapped key alone unless the plaintext is asked for", async () => {
    const response = await post("create", KEY);
    expect(response.status).toBe(201);
    expect(await response.json()).toEqual({ wrapped: expect.any(String), version: 2 });
  });

  test("opens what it made, under the same context only", async () => {
    const context = { table: "invoices" };
    const created = (await (await post("create", { ...KEY, context, plaintext: true })).json()) as Record<
      string,
      string
    >;
    const opened = await post("decrypt", { wrapped: created.wrapped, context });
    expect(opened.status).toBe(200);
    expect(await opened.json()).toEqual({
      plaintext: created.plaintext,
      ...KEY,
      version: 2,
      cache_seconds: expect.any(Number),
    });

    const other = await post("decrypt", { wrapped: created.wrapped, context: { table: "refunds" } });
    expect(other.status).toBe(422);
    expect(await other.json()).toMatchObject({ code: "decryption_failed", status: 422 });
  });

  test("makes data keys of 16, 32 and 64 bytes", async () => {
    for (const length of [16, 32, 64]) {
      const created = (await (await post("create", { ...KEY, length, plaintext: true })).json()) as {
        plaintext: string;
      };
      expect(Buffer.from(created.plaintext, "base64url")).toHaveLength(length);
    }
    expect((await post("create", { ...KEY, length: 24 })).status).toBe(400);
  });

  test("rewraps under the active version without showing the data key", async () => {
    const old = vectors.open.find((vector) => vector.name === "default length, no context")!;
    const wrapped = Buffer.from(old.blob, "hex").toString("base64url");
    const rewrapped = (await (await post("rewrap", { wrapped })).json()) as Record<string, unknown>;
    expect(rewrapped).toEqual({ wrapped: expect.any(String), ...KEY, version: 2, was_active: false });
    const opened = (await (await post("decrypt", { wrapped: rewrapped.wrapped })).json()) as { plaintext: string };
    expect(Buffer.from(opened.plaintext, "base64url").toString("hex")).toBe(old.l4);
  });

  test("judges each item of a batch by itself", async () => {
    const made = (await (await post("create-batch", { ...KEY, count: 3, plaintext: true })).json()) as {
      keys: { wrapped: string; plaintext: string }[];
    };
    expect(new Set(made.keys.map((key) => key.plaintext)).size).toBe(3);
    const items = [
      { wrapped: made.keys[0]!.wrapped },
      { wrapped: "not a blob" },
      { wrapped: made.keys[1]!.wrapped, context: { a: "b" } },
      { wrapped: made.keys[2]!.wrapped },
    ];
    const { results } = (await (await post("decrypt-batch", { items })).json()) as { results: unknown[] };
    expect(results).toEqual([
      expect.objectContaining({ plaintext: made.keys[0]!.plaintext }),
      { error: expect.objectContaining({ code: "invalid_blob", status: 400 }) },
      { error: expect.objectContaining({ code: "decryption_failed", status: 422 }) },
      expect.objectContaining({ plaintext: made.keys[2]!.plaintext }),
    ]);
  });
});

describe("every refusing vector", () => {
  for (const vector of vectors.refuse) {
    test(`is answered ${vector.code}, and the edge goes on serving: ${vector.name}`, async () => {
      const blob = Buffer.from(vector.blob, "hex");
      const refusing = await startStaticEdge(
        staticConfiguration("", [{ ...identityOf(blob), state: "active", key: vector.l3 }], "*"),
      );
      try {
        const response = await postTo(refusing, "decrypt", {
          wrapped: blob.toString("base64url"),
          context: vector.context,
        });
        expect(await response.json()).toMatchObject({ code: vector.code });
        expect(response.status).toBe(vector.code === "invalid_blob" ? 400 : 422);
        expect((await fetch(`${refusing.url}/livez`)).status).toBe(200);
      } finally {
        await refusing.close();
      }
    });
  }
});

/** What a blob names, or any name for one that is malformed. */
function identityOf(blob: Uint8Array): { tenant: string; service: string; version: number } {
  try {
    const { tenant, service, version } = parseBlob(blob);
    return { tenant, service, version };
  } catch {
    return { ...KEY, version: 1 };
  }
}

describe("bad input", () => {
  const bodies: [name: string, body: unknown][] = [
    ["no body", ""],
    ["no JSON", "{"],
    ["a list", []],
    ["null", "null"],
    ["an unknown key", { ...KEY, tenent: "x" }],
    ["a tenant with a slash", { ...KEY, tenant: "a/b" }],
    ["a number for a tenant", { ...KEY, tenant: 1 }],
    ["a context of numbers", { ...KEY, context: { a: 1 } }],
    ["a context with an empty key", { ...KEY, context: { "": "a" } }],
    [
      "65 context entries",
      { ...KEY, context: Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`k${index}`, ""])) },
    ],
    ["a context over 8,192 bytes", { ...KEY, context: { a: "x".repeat(8192) } }],
    ["a lone surrogate", '{"tenant":"tenant-a","service":"billing","context":{"a":"\\ud800"}}'],
  ];
  for (const [name, body] of bodies) {
    test(`is answered 400 invalid_request: ${name}`, async () => {
      const response = await post("create", body);
      expect(response.headers.get("content-type")).toBe("application/problem+json");
      expect(await response.json()).toMatchObject({ status: 400, code: "invalid_request" });
      expect(response.status).toBe(400);
    });
  }

  test("of a context named like an object's own property is bound like any other", async () => {
    const body = '{"tenant":"tenant-a","service":"billing","context":{"__proto__":"a","constructor":"b"}}';
    const created = (await (await post("create", body)).json()) as { wrapped: string };
    const again = `{"wrapped":"${created.wrapped}","context":{"constructor":"b","__proto__":"a"}}`;
    expect((await post("decrypt", again)).status).toBe(200);
    expect((await post("decrypt", `{"wrapped":"${created.wrapped}","context":{"constructor":"b"}}`)).status).toBe(422);
  });

  test("is not repeated in the answer", async () => {
    const marker = "s3cr3t-marker";
    const answers = await Promise.all([
      post("create", { ...KEY, [marker]: 1 }),
      post("create", { tenant: `${marker}/`, service: "billing" }),
      post("decrypt", { wrapped: marker, context: { [marker]: marker } }),
      post("create", `{"tenant": ${marker}`),
    ]);
    for (const answer of answers.slice(1)) expect(await answer.text()).not.toContain(marker);
  });

  test("on a known path by another method is a 405 that names the right ones", async () => {
    const response = await fetch(`${edge.url}/v1/keys/create`, { method: "DELETE" });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe("POST");
    expect(await response.json()).toMatchObject({ code: "method_not_allowed" });
  });

  test("on an unknown path is a problem too", async () => {
    const response = await fetch(`${edge.url}/v1/keys:create`, { method: "POST" });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ code: "not_found" });
  });
});

describe("a lease that cannot be had", () => {
  test("is 404 for a key that the source does not know", async () => {
    const response = await post("create", { tenant: "tenant-a", service: "nowhere" });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ code: "key_not_found" });
  });

  test("is 403 where no policy allows it, and the source is not asked", async () => {
    const response = await post("create", { tenant: "other", service: "billing" });
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ code: "access_denied" });
  });
});

describe("the client", () => {
  test("makes and opens keys, one and many, and throws the edge's own errors", async () => {
    const { client } = edge;
    const created = await client.createKey({ ...KEY, plaintext: true, context: { a: "b" } });
    const opened = await client.decryptKey({ wrapped: created.wrapped, context: { a: "b" } });
    expect(opened.plaintext).toEqual(created.plaintext!);
    const [first, second] = await client.decryptKeys([
      { wrapped: created.wrapped },
      { wrapped: created.wrapped, context: { a: "b" } },
    ]);
    expect(first).toBeInstanceOf(CryptoEdgeError);
    expect(second).toMatchObject({ version: 2 });
    expect(await client.createKeys(KEY, 5)).toHaveLength(5);
    expect(client.createKey({ tenant: "tenant-a", service: "nowhere" })).rejects.toMatchObject({
      code: "key_not_found",
    });
  });
});

test("the OpenAPI document describes every operation", async () => {
  const document = (await (await fetch(`${edge.url}/openapi.json`)).json()) as { openapi: string; paths: object };
  expect(document.openapi).toBe("3.1.0");
  expect(Object.keys(document.paths)).toEqual(
    expect.arrayContaining(
      ["create", "decrypt", "rewrap", "create-batch", "decrypt-batch"].map((name) => `/v1/keys/${name}`),
    ),
  );
});

test("the probes answer", async () => {
  expect((await fetch(`${edge.url}/livez`)).status).toBe(200);
  expect(await (await fetch(`${edge.url}/readyz`)).json()).toMatchObject({ ready: true });
  expect(await (await fetch(`${edge.url}/v1/status`)).json()).toMatchObject({ edge: "edge-test", source: "static" });
});
