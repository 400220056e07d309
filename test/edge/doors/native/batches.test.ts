/** The batches of the native door, in JSON and in bytes, and what its answers say of keeping plaintexts. */
import { describe, expect, test } from "bun:test";
import { OperationError } from "../../../../src/base/errors.ts";
import { encodeContext } from "../../../../src/edge/cipher/context.ts";
import type { DoorAnswer } from "../../../../src/edge/doors/door.ts";
import { ITEMS_OF_SLICE, slowLooks } from "../../../support/slow-looks.ts";
import { ask, caller, nativeParts, operations, routesOf } from "./world.ts";

const routes = routesOf(nativeParts());
const KEY = { tenant: "tenant-a", service: "billing" };
const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url");

async function json(path: string, body: unknown): Promise<{ status: number; body: Record<string, unknown[]> }> {
  const answer = await ask(routes, path, JSON.stringify(body));
  return { status: answer.status, body: JSON.parse(Buffer.from(answer.body as Uint8Array).toString()) };
}

const asBytes = (path: string, body: Uint8Array): Promise<DoorAnswer> =>
  ask(routes, path, body, { headers: { "content-type": "application/octet-stream" } });

const unsigned = (length: number, value: number): Buffer => {
  const bytes = Buffer.alloc(length);
  bytes.writeUIntBE(value, 0, length);
  return bytes;
};
const sized = (length: number, bytes: Uint8Array): Buffer => Buffer.concat([unsigned(length, bytes.length), bytes]);
const context = (value?: Record<string, string>): Buffer => sized(2, encodeContext(value));

const makeKey = async (ctx?: Record<string, string>) =>
  (await operations.createKey(caller, { ...KEY, context: ctx, plaintext: true })) as {
    wrapped: Uint8Array;
    plaintext: Uint8Array;
  };
const makeValue = async (value: Uint8Array, ctx?: Record<string, string>) =>
  (await operations.encryptValue(caller, { ...KEY, value, context: ctx })).wrapped;

describe("in JSON", () => {
  test("a rewrap-batch takes keys and values, and says of each how it ended", async () => {
    const key = await makeKey({ a: "b" });
    const value = await makeValue(Buffer.from("hello"));
    const { status, body } = await json("/v1/keys/rewrap-batch", {
      items: [
        { wrapped: base64url(key.wrapped), context: { a: "b" } },
        { wrapped: base64url(value) },
        { wrapped: base64url(key.wrapped) },
        { wrapped: "***" },
      ],
    });
    expect(status).toBe(200);
    expect(body.results).toEqual([
      { wrapped: expect.any(String), ...KEY, version: 3, was_active: true },
      { wrapped: expect.any(String), ...KEY, version: 3, was_active: true },
      { error: expect.objectContaining({ code: "decryption_failed", status: 422 }) },
      { error: expect.objectContaining({ code: "invalid_blob", status: 400 }) },
    ]);
  });

  test("values are encrypted and opened many at a time", async () => {
    const values = Array.from({ length: 1_200 }, (_, index) => Buffer.from(`value ${index}`));
    const made = await json("/v1/values/encrypt-batch", {
      items: values.map((value, index) => ({ ...KEY, value: base64url(value), context: { index: String(index) } })),
    });
    expect(made.status).toBe(201);
    const opened = await json("/v1/values/decrypt-batch", {
      items: (made.body.results as { wrapped: string }[]).map(({ wrapped }, index) => ({
        wrapped,
        context: { index: String(index === 7 ? 8 : index) },
      })),
    });
    expect(opened.status).toBe(200);
    opened.body.results!.forEach((result, index) => {
      const expected = { value: base64url(values[index]!), ...KEY, version: 3, cache_seconds: 60 };
      if (index === 7) expect(result).toMatchObject({ error: { code: "decryption_failed" } });
      else expect(result).toEqual(expected);
    });
  });

  test("the first item that is not as expected is named, and nothing is done", async () => {
    const { status, body } = await json("/v1/keys/decrypt-batch", { items: [{ wrapped: "AAAA" }, { wrapped: 7 }] });
    expect(status).toBe(400);
    expect(body as unknown).toMatchObject({
      code: "invalid_request",
      detail: expect.stringContaining('"items.1.wrapped"'),
    });
    expect((await json("/v1/keys/decrypt-batch", { items: [] })).status).toBe(400);
    const tooMany = { items: Array.from({ length: 10_001 }, () => ({ wrapped: "AAAA" })) };
    expect((await json("/v1/keys/decrypt-batch", tooMany)).body as unknown).toMatchObject({
      code: "invalid_request",
      detail: expect.stringContaining("more than 10000 items"),
    });
    const twice = await ask(routes, "/v1/keys/decrypt-batch", '{"items":[{"wrapped":"AAAA","wrapped":"AAAA"}]}');
    expect(twice.status).toBe(400);
  });

  test("a batch counts against its caller before it is made", async () => {
    const reserved: number[] = [];
    const refused = new OperationError("rate_limited", "Too much.", { retryAfterMs: 1_000 });
    const reserve = (bytes: number) => {
      reserved.push(bytes);
      return refused;
    };
    const create = JSON.stringify({ ...KEY, count: 10_000 });
    const answer = await ask(routes, "/v1/keys/create-batch", create, { reserve });
    expect([answer.status, answer.headers["Retry-After"]]).toEqual([429, "1"]);
    expect(reserved[0]).toBeGreaterThan(2_000_000);
    const items = JSON.stringify({ items: [{ wrapped: "AAAA" }] });
    for (const path of ["/v1/keys/decrypt-batch", "/v1/keys/rewrap-batch", "/v1/values/decrypt-batch"]) {
      expect((await ask(routes, path, items, { reserve })).status).toBe(429);
    }
  });
});

describe("in bytes", () => {
  test("a rewrap-batch answers blobs and errors", async () => {
    const key = await makeKey({ a: "b" });
    const value = await makeValue(new Uint8Array(65_536));
    const items = [
      [key.wrapped, { a: "b" }],
      [value, undefined],
      [key.wrapped, undefined],
    ] as const;
    const body = Buffer.concat([
      unsigned(4, items.length),
      ...items.map(([wrapped, ctx]) => Buffer.concat([sized(4, wrapped), context(ctx)])),
    ]);
    const { status, headers, body: answered } = await asBytes("/v1/keys/rewrap-batch", body);
    expect([status, headers["Content-Type"], headers["Cache-Seconds"]]).toEqual([
      200,
      "application/octet-stream",
      undefined,
    ]);
    const bytes = Buffer.from(answered as Uint8Array);
    let at = 4;
    for (const [wrapped, ctx] of items.slice(0, 2)) {
      expect([bytes.readUInt16BE(at), bytes.readUInt32BE(at + 2), bytes.readUInt8(at + 6)]).toEqual([0, 3, 1]);
      const length = bytes.readUInt32BE(at + 7);
      const again = bytes.subarray(at + 11, at + 11 + length);
      const [before, after] = [wrapped, again].map((blob) => operations.open(caller, { wrapped: blob, context: ctx }));
      expect(((await after) as { plaintext: Uint8Array }).plaintext).toEqual(
        ((await before) as { plaintext: Uint8Array }).plaintext,
      );
      at += 11 + length;
    }
    expect(bytes.readUInt16BE(at)).toBe(422);
    expect(bytes.subarray(at + 3).toString()).toBe("decryption_failed");
  });

  test("values go in and come out", async () => {
    const values = [Buffer.from("hello"), Buffer.alloc(65_536, 7), Buffer.alloc(0)];
    const names = Buffer.concat([sized(1, Buffer.from(KEY.tenant)), sized(1, Buffer.from(KEY.service))]);
    const body = Buffer.concat([
      unsigned(4, values.length),
      ...values.map((value) => Buffer.concat([names, sized(4, value), context()])),
    ]);
    const encrypted = await asBytes("/v1/values/encrypt-batch", body);
    expect(encrypted.status).toBe(201);
    const bytes = Buffer.from(encrypted.body as Uint8Array);
    const blobs: Buffer[] = [];
    let at = 4;
    for (let index = 0; index < 2; index++) {
      expect(bytes.readUInt16BE(at)).toBe(0);
      const length = bytes.readUInt32BE(at + 6);
      blobs.push(bytes.subarray(at + 10, at + 10 + length));
      at += 10 + length;
    }
    // A value of no bytes is that item's own error.
    expect([bytes.readUInt16BE(at), bytes.subarray(at + 3).toString()]).toEqual([400, "invalid_request"]);

    const opened = await asBytes(
      "/v1/values/decrypt-batch",
      Buffer.concat([unsigned(4, 2), ...blobs.map((blob) => Buffer.concat([sized(4, blob), context()]))]),
    );
    expect(opened.headers["Cache-Seconds"]).toBe("60");
    expect(Buffer.from(opened.body as Uint8Array)).toEqual(
      Buffer.concat([
        unsigned(4, 2),
        ...values.slice(0, 2).map((value) => Buffer.concat([unsigned(2, 0), sized(4, value)])),
      ]),
    );
  });

  test("how long each of many plaintexts may be kept is decided in turns", async () => {
    using _ = slowLooks();
    let turn = 0;
    const decided: number[] = [];
    const cacheSeconds = (): number => {
      decided.push(turn);
      return 60;
    };
    const value = await makeValue(Buffer.from("hello"));
    const count = 3 * ITEMS_OF_SLICE;
    const item = Buffer.concat([sized(4, value), context()]);
    let over = false;
    const nextTurn = (): void => {
      turn++;
      if (!over) setImmediate(nextTurn);
    };
    setImmediate(nextTurn);
    const answer = await ask(
      routesOf(nativeParts({ operations: { ...operations, cacheSeconds } })),
      "/v1/values/decrypt-batch",
      Buffer.concat([unsigned(4, count), ...Array<Buffer>(count).fill(item)]),
      { headers: { "content-type": "application/octet-stream" } },
    );
    over = true;
    expect(answer.headers["Cache-Seconds"]).toBe("60");
    expect(decided).toHaveLength(count);
    expect(new Set(decided).size).toBeGreaterThan(1);
  });

  test("what is cut, goes on, or names nobody is refused as a whole", async () => {
    const good = Buffer.concat([unsigned(4, 1), sized(4, Buffer.from("blob")), context()]);
    expect((await asBytes("/v1/keys/rewrap-batch", good)).status).toBe(200);
    for (let length = 0; length < good.length; length++) {
      expect((await asBytes("/v1/keys/rewrap-batch", good.subarray(0, length))).status).toBe(400);
    }
    for (const bad of [Buffer.concat([good, Buffer.alloc(1)]), unsigned(4, 10_001), unsigned(4, 0)]) {
      expect((await asBytes("/v1/keys/rewrap-batch", bad)).status).toBe(400);
    }
  });
});

describe("how long a plaintext may be kept", () => {
  const shown = async (path: string, body: object) =>
    JSON.parse(Buffer.from((await ask(routes, path, JSON.stringify(body))).body as string).toString()) as object;

  test("stands beside every plaintext, and nowhere else", async () => {
    const key = await makeKey();
    const value = await makeValue(Buffer.from("hello"));
    expect(await shown("/v1/keys/create", { ...KEY, plaintext: true })).toMatchObject({ cache_seconds: 60 });
    expect(await shown("/v1/keys/create", KEY)).not.toHaveProperty("cache_seconds");
    expect(await shown("/v1/keys/decrypt", { wrapped: base64url(key.wrapped) })).toMatchObject({ cache_seconds: 60 });
    expect(await shown("/v1/values/decrypt", { wrapped: base64url(value) })).toMatchObject({ cache_seconds: 60 });
    expect(await shown("/v1/keys/rewrap", { wrapped: base64url(value) })).not.toHaveProperty("cache_seconds");
    const batch = (await shown("/v1/keys/create-batch", { ...KEY, count: 2, plaintext: true })) as { keys: object[] };
    for (const made of batch.keys) expect(made).toMatchObject({ cache_seconds: 60 });
  });
});
