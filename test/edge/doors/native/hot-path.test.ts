import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { allowAll, CALLER, heldLeases, ignoreAll, PRINCIPAL } from "../../../../bench/harness/edge-in-process.ts";
import { CryptoEdgeError } from "../../../../src/base/errors.ts";
import { type App, createApp } from "../../../../src/edge/doors/native/app.ts";
import type { Operations } from "../../../../src/edge/operations/operations.ts";
import { createOperations } from "../../../../src/edge/operations/pipeline.ts";

const leases = heldLeases();
const operations = createOperations({ access: allowAll, leases, recorder: ignoreAll });

function appOver(of: Operations, defects: unknown[] = []): App {
  return createApp({
    operations: of,
    identify: (request) => {
      if (request.headers.has("x-nobody")) throw new CryptoEdgeError("unauthenticated", "Say who you are.");
      return PRINCIPAL;
    },
    readiness: () => ({ ready: true }),
    status: undefined,
    metrics: undefined,
    onFailure(error) {
      if (!(error instanceof CryptoEdgeError)) defects.push(error);
    },
  });
}

const app = appOver(operations);

/** What a caller sees, the parts that are random at each call made equal. */
async function seen(response: Response): Promise<unknown> {
  const body = (await response.json()) as Record<string, unknown>;
  const isOpened = "tenant" in body && "plaintext" in body;
  for (const field of isOpened ? [] : ["wrapped", "plaintext"]) {
    if (typeof body[field] === "string") body[field] = `${body[field].length} characters`;
  }
  return { status: response.status, headers: [...response.headers], body };
}

async function expectSame(of: App, path: string, body: string, headers: Record<string, string> = {}): Promise<unknown> {
  const request = () =>
    new Request(`http://localhost${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-request-id": "r-1", ...headers },
      body,
    });
  const hot = await seen(await of.handle(request()));
  expect(hot).toEqual(await seen(await of.handleGenerically(request())));
  return hot;
}

const KEY = { tenant: "tenant-a", service: "billing" };

async function wrappedKey(context?: Record<string, string>): Promise<string> {
  const made = await operations.createKey(CALLER, { ...KEY, context });
  return Buffer.from(made.wrapped).toString("base64url");
}

describe("the hot path answers as the generic one does", () => {
  test("for what is well-formed", async () => {
    const answers = [
      await expectSame(app, "/v1/keys/create", JSON.stringify(KEY)),
      await expectSame(app, "/v1/keys/create", JSON.stringify({ ...KEY, plaintext: true, length: 64 })),
      await expectSame(app, "/v1/keys/create", JSON.stringify({ tenant: "t", context: { a: "b", ü: "\u{1f511}" } })),
      await expectSame(app, "/v1/keys/decrypt", JSON.stringify({ wrapped: await wrappedKey() })),
      await expectSame(app, "/v1/keys/rewrap", JSON.stringify({ wrapped: await wrappedKey() })),
    ];
    expect(answers.map((answer) => (answer as { status: number }).status)).toEqual([201, 201, 201, 200, 200]);
  });

  test("for bodies that are no JSON, or not of the schema", async () => {
    const bodies = [
      "",
      "{",
      "null",
      "[]",
      "7",
      '"text"',
      "{}",
      '{"tenant":""}',
      '{"tenant":7}',
      '{"tenant":"a b"}',
      '{"tenant":"a","more":1}',
      '{"tenant":"a","__proto__":{}}',
      '{"tenant":"a","length":24}',
      '{"tenant":"a","length":"32"}',
      '{"tenant":"a","plaintext":"true"}',
      '{"tenant":"a","context":{"":"x"}}',
      '{"tenant":"a","context":{"x":1}}',
      '{"tenant":"a","context":{"__proto__":"x"}}',
      '{"tenant":"a","service":null}',
      '{"tenant":"a","tenant":"b"}',
      '\ufeff{"tenant":"a"}',
      '{"wrapped":""}',
      '{"wrapped":"***"}',
      '{"wrapped":"TDQBAQ=="}',
      `{"wrapped":"${"A".repeat(1000)}"}`,
      '{"wrapped":"TDQBAQ","context":[]}',
    ];
    for (const path of ["/v1/keys/create", "/v1/keys/decrypt", "/v1/keys/rewrap"]) {
      for (const body of bodies) await expectSame(app, path, body);
    }
  });

  test("for anything that JSON can hold", async () => {
    const body = fc.record(
      {
        tenant: fc.oneof(fc.string(), fc.constant("tenant-a"), fc.jsonValue()),
        service: fc.oneof(fc.string(), fc.constant("billing"), fc.jsonValue()),
        wrapped: fc.oneof(fc.base64String(), fc.jsonValue()),
        length: fc.oneof(fc.constantFrom(16, 32, 64), fc.jsonValue()),
        context: fc.oneof(fc.dictionary(fc.string(), fc.string()), fc.jsonValue()),
      },
      { requiredKeys: [] },
    );
    const path = fc.constantFrom("/v1/keys/create", "/v1/keys/decrypt", "/v1/keys/rewrap");
    await fc.assert(
      fc.asyncProperty(path, body, async (at, value) => {
        await expectSame(app, at, JSON.stringify(value));
      }),
      { numRuns: 200 },
    );
  });

  test("for a blob that does not open, and a caller whom nobody knows", async () => {
    const other = { wrapped: await wrappedKey({ a: "b" }), context: { a: "c" } };
    expect(await expectSame(app, "/v1/keys/decrypt", JSON.stringify(other))).toMatchObject({ status: 422 });
    const nobody = { "x-nobody": "1" };
    expect(await expectSame(app, "/v1/keys/create", JSON.stringify(KEY), nobody)).toMatchObject({ status: 401 });
    expect(await expectSame(app, "/v1/keys/create", "{", nobody)).toMatchObject({ status: 400 });
  });

  test("for an error that comes later, with its time to wait, and for a defect, which is told", async () => {
    const unavailable = new CryptoEdgeError("lease_unavailable", "Ask again.", { retryAfterMs: 1500 });
    const later = appOver({ ...operations, createKey: () => Promise.reject(unavailable) });
    expect(await expectSame(later, "/v1/keys/create", JSON.stringify(KEY))).toMatchObject({ status: 503 });

    const defects: unknown[] = [];
    const broken = () => {
      throw new TypeError("a defect");
    };
    const failing = appOver({ ...operations, createKey: broken }, defects);
    expect(await expectSame(failing, "/v1/keys/create", JSON.stringify(KEY))).toMatchObject({ status: 500 });
    expect(defects).toHaveLength(2);
  });

  test("for other methods, and for addresses with a query", async () => {
    for (const method of ["GET", "PUT", "DELETE", "HEAD"]) {
      const request = () => new Request("http://localhost/v1/keys/create", { method });
      expect((await app.handle(request())).status).toBe((await app.handleGenerically(request())).status);
    }
    expect(await expectSame(app, "/v1/keys/create?x=1", JSON.stringify(KEY))).toMatchObject({ status: 201 });
  });
});
