/** What is well-formed takes a shorter way through the native door: its answers are those of the app that declares the routes. */
import { describe, expect, test } from "bun:test";
import { OperationError } from "../../../../src/base/errors.ts";
import type { DoorAnswer } from "../../../../src/edge/doors/door.ts";
import type { DoorRoutes } from "../../../../src/edge/listeners/door-routes.ts";
import type { Operations } from "../../../../src/edge/operations/operations.ts";
import { fc } from "../../../support/properties.ts";
import { ask, caller, nativeParts, operations, routesOf } from "./world.ts";

interface Ways {
  readonly short: DoorRoutes;
  readonly long: DoorRoutes;
}

function ways(of: Operations, defects: unknown[] = []): Ways {
  const parts = nativeParts({
    operations: of,
    onFailure(error) {
      if (!(error instanceof OperationError)) defects.push(error);
    },
  });
  return { short: routesOf(parts), long: routesOf(parts, false) };
}

const both = ways(operations);
/** What a caller sees, the parts that are random at each call made equal. */
function seen({ status, headers, body: written }: DoorAnswer): unknown {
  const body = JSON.parse(Buffer.from(written as string).toString()) as Record<string, unknown>;
  const isOpened = "tenant" in body && ("plaintext" in body || "value" in body);
  for (const field of isOpened ? [] : ["wrapped", "plaintext"]) {
    if (typeof body[field] === "string") body[field] = `${body[field].length} characters`;
  }
  return { status, headers, body };
}

async function expectSame(of: Ways, path: string, body: string | Buffer, headers: Record<string, string> = {}) {
  const short = seen(await ask(of.short, path, body, { headers }));
  expect([path, String(body), short]).toEqual([path, String(body), seen(await ask(of.long, path, body, { headers }))]);
  return short as { status: number; body: Record<string, unknown> };
}

const KEY = { tenant: "tenant-a", service: "billing" };
const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url");

async function wrappedKey(context?: Record<string, string>): Promise<string> {
  return base64url((await operations.createKey(caller, { ...KEY, context })).wrapped);
}

async function wrappedValue(value: Uint8Array): Promise<string> {
  return base64url((await operations.encryptValue(caller, { ...KEY, value })).wrapped);
}

const SINGLE = ["/v1/keys/create", "/v1/keys/decrypt", "/v1/keys/rewrap", "/v1/values/encrypt", "/v1/values/decrypt"];

describe("the short way answers as the app does", () => {
  test("for what is well-formed", async () => {
    const cases: [path: string, body: object][] = [
      ["/v1/keys/create", KEY],
      ["/v1/keys/create", { ...KEY, plaintext: true, length: 64 }],
      ["/v1/keys/create", { tenant: "t", context: { a: "b", ü: "\u{1f511}" } }],
      ["/v1/keys/decrypt", { wrapped: await wrappedKey() }],
      ["/v1/keys/rewrap", { wrapped: await wrappedKey() }],
      ["/v1/keys/rewrap", { wrapped: await wrappedValue(new Uint8Array(60_000)) }],
      ["/v1/values/encrypt", { ...KEY, value: "aGVsbG8" }],
      ["/v1/values/decrypt", { wrapped: await wrappedValue(Buffer.from("hello")) }],
      ["/v1/values/decrypt", { wrapped: await wrappedValue(new Uint8Array(65_536)) }],
    ];
    const statuses: number[] = [];
    for (const [path, body] of cases) statuses.push((await expectSame(both, path, JSON.stringify(body))).status);
    expect(statuses).toEqual([201, 201, 201, 200, 200, 200, 201, 200, 200]);
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
      '{"tenant":"a","t\\u0065nant":"b"}',
      '{"tenant":"a","context":{"x":"1","x":"1"}}',
      '\ufeff{"tenant":"a"}',
      '{"wrapped":""}',
      '{"wrapped":"***"}',
      '{"wrapped":"TDQBAQ=="}',
      `{"wrapped":"${"A".repeat(1000)}"}`,
      '{"wrapped":"TDQBAQ","context":[]}',
      '{"tenant":"a","value":""}',
      '{"tenant":"a","value":"*"}',
    ];
    for (const path of SINGLE) for (const body of bodies) await expectSame(both, path, body);
  });

  test("for bytes that are not UTF-8, in a value of the context too", async () => {
    for (const broken of [[0xff], [0xc3, 0x28], [0xed, 0xa0, 0x80]]) {
      const body = Buffer.concat([
        Buffer.from('{"tenant":"a","context":{"x":"'),
        Buffer.from(broken),
        Buffer.from('"}}'),
      ]);
      expect(await expectSame(both, "/v1/keys/create", body)).toMatchObject({
        status: 400,
        body: { code: "invalid_request" },
      });
    }
  });

  test("for anything that JSON can hold", async () => {
    const body = fc.record(
      {
        tenant: fc.oneof(fc.string(), fc.constant("tenant-a"), fc.jsonValue()),
        service: fc.oneof(fc.string(), fc.constant("billing"), fc.jsonValue()),
        wrapped: fc.oneof(fc.base64String(), fc.jsonValue()),
        value: fc.oneof(fc.base64String(), fc.jsonValue()),
        length: fc.oneof(fc.constantFrom(16, 32, 64), fc.jsonValue()),
        context: fc.oneof(fc.dictionary(fc.string(), fc.string()), fc.jsonValue()),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...SINGLE), body, async (at, value) => {
        await expectSame(both, at, JSON.stringify(value));
      }),
      { numRuns: 300 },
    );
  });

  test("for other content types", async () => {
    const body = JSON.stringify(KEY);
    const types: Record<string, number> = {
      "application/json; charset=utf-8": 201,
      "Application/JSON": 201,
      "application/json;charset=latin1": 415,
      "text/plain": 415,
      "application/octet-stream": 415,
      "application/x-www-form-urlencoded": 415,
    };
    for (const [type, status] of Object.entries(types)) {
      expect([type, await expectSame(both, "/v1/keys/create", body, { "content-type": type })]).toMatchObject([
        type,
        { status },
      ]);
    }
  });

  test("for a blob that does not open", async () => {
    const other = { wrapped: await wrappedKey({ a: "b" }), context: { a: "c" } };
    expect(await expectSame(both, "/v1/keys/decrypt", JSON.stringify(other))).toMatchObject({ status: 422 });
    const key = JSON.stringify({ wrapped: await wrappedKey() });
    expect(await expectSame(both, "/v1/values/decrypt", key)).toMatchObject({ status: 400 });
  });

  test("for an error that comes later, with its time to wait, and for a defect, which is told", async () => {
    const unavailable = new OperationError("lease_unavailable", "Ask again.", { retryAfterMs: 1500 });
    const later = ways({ ...operations, createKey: () => Promise.reject(unavailable) });
    expect(await expectSame(later, "/v1/keys/create", JSON.stringify(KEY))).toMatchObject({
      status: 503,
      headers: { "Retry-After": "2" },
    });

    const defects: unknown[] = [];
    const broken = () => {
      throw new TypeError("a defect");
    };
    const failing = ways({ ...operations, createKey: broken }, defects);
    expect(await expectSame(failing, "/v1/keys/create", JSON.stringify(KEY))).toMatchObject({ status: 500 });
    expect(defects).toHaveLength(2);
  });
});
