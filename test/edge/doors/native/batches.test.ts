/** The batches of the native door, in JSON and in bytes, and what its answers say of keeping plaintexts. */
import { describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { OperationError } from "../../../../src/base/errors.ts";
import { encodeContext } from "../../../../src/edge/cipher/context.ts";
import { type DoorAnswer, START_BYTES } from "../../../../src/edge/doors/door.ts";
import { startDoorEdge } from "../../../support/door-edge.ts";
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

  test("a long one is refused by its start as the whole would be, and by nothing else of it", async () => {
    const start = (path: string, body: string | Uint8Array, headers: Readonly<Record<string, string>> = {}) => {
      const found = routes.find("POST", path);
      const fields = new Map(Object.entries({ "content-type": "application/json", ...headers }));
      const head = { method: "POST", path, query: "", headers: fields, connection: {} as never };
      const sent = Buffer.from(body as string).subarray(0, START_BYTES);
      const before = Buffer.from(sent);
      const answer = found.route?.refuseByStart?.(head, sent);
      expect(sent.equals(before)).toBe(true);
      return answer === undefined ? undefined : [answer.status, detailOf(answer)];
    };
    const detailOf = ({ body }: Pick<DoorAnswer, "body">): unknown =>
      (JSON.parse(Buffer.from(body as Uint8Array).toString()) as { detail: unknown }).detail;
    const long = "a".repeat(START_BYTES);
    const hostile = [
      `{"items":[${"[],".repeat(300_000)}[]]}`,
      `{"items":[${"{},".repeat(300_000)}{}]}`,
      `{"items":[{"wrapped":"${long}"}]}`,
      `{"items":["${'\\"'.repeat(START_BYTES)}"]}`,
      `{"items":[{"wrapped":"AAAA","wrapped":"AAAA"},"${long}"]}`,
      `{"other":["${long}"]}`,
      `{"${long}":1}`,
      `{${Array.from({ length: 100_000 }, (_, index) => `"${index}":1`).join()}}`,
      `{"items":{"${long}":1}}`,
      "[".repeat(START_BYTES),
      " ".repeat(START_BYTES),
      `{"items":${" ".repeat(START_BYTES)}[]}`,
      `{"items":[1e${"9".repeat(START_BYTES)}]}`,
      long,
    ];
    const paths = ["/v1/keys/decrypt-batch", "/v1/keys/rewrap-batch", "/v1/values/decrypt-batch"];
    for (const path of [...paths, "/v1/values/encrypt-batch"]) {
      for (const body of hostile) {
        const whole = await ask(routes, path, body);
        expect([path, body.slice(0, 40), start(path, body)]).toEqual([
          path,
          body.slice(0, 40),
          [whole.status, detailOf(whole)],
        ]);
      }
    }
    for (const path of paths) {
      const space = " ".repeat(60_000);
      for (const body of [
        JSON.stringify({ items: Array.from({ length: 10_000 }, () => ({ wrapped: "A".repeat(120) })) }),
        `${space}{${space}"items"${space}:${space}[${space}{"wrapped":"${"A".repeat(400)}"${space}},"${long}"]}`,
        `{"items":[{"wrapped":"AAAA"},[],"${long}"]}`,
        `{"items":[]${" ".repeat(START_BYTES)}`,
      ]) {
        expect(start(path, body)).toBeUndefined();
      }
      expect(start(path, Buffer.alloc(START_BYTES), { "content-type": "application/octet-stream" })).toBeUndefined();
    }
    expect(start("/v1/keys/create-batch", long)).toBeUndefined();
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

test("a listener refuses a long batch before it has come, and takes a good one that comes in parts", async () => {
  await using stack = new AsyncDisposableStack();
  const edge = await startDoorEdge({ listeners: '  - { http: "127.0.0.1:0", principal: local }' });
  stack.defer(() => edge.close());
  const { port } = new URL(edge.urls[0]!);
  const send = (body: string, length: number) =>
    new Promise<string>((resolve, reject) => {
      let received = "";
      const socket = connect(Number(port), "127.0.0.1", () => {
        socket.write(
          `POST /v1/keys/decrypt-batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`,
        );
        for (let at = 0; at < body.length; at += 100_000) socket.write(body.slice(at, at + 100_000));
      });
      socket.on("data", (bytes) => {
        received += bytes.toString("latin1");
        if (received.endsWith("]}")) socket.end();
      });
      socket.on("error", reject);
      socket.on("end", () => resolve(received));
    });
  const items = Array.from({ length: 9_000 }, () => ({ wrapped: "A".repeat(120) }));
  const good = JSON.stringify({ items });
  // It loads what looks at the next one.
  expect(await send(good, good.length)).toStartWith("HTTP/1.1 200 ");
  const refused = await send(`{"items":[${"[],".repeat(400_000)}`, 15_000_000);
  expect(refused).toStartWith("HTTP/1.1 400 ");
  expect(refused.toLowerCase()).toContain("connection: close");
  expect(refused).toContain('\\"items.0\\" is not as expected');
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
