import { describe, expect, test } from "bun:test";
import type { TSchema } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { fromBase64url } from "../../../../src/base/base64url.ts";
import { readCreate, readEncrypt, readOpen } from "../../../../src/edge/doors/native/body-reader.ts";
import { endOfItem, ITEM_READERS } from "../../../../src/edge/doors/native/item-reader.ts";
import { CreateBody, DecryptBody } from "../../../../src/edge/doors/native/schemas.ts";
import { fc } from "../../../support/properties.ts";

const { readOpenItem, readEncryptItem } = ITEM_READERS;

type Fields = Record<string, unknown>;

const createOf = ({ tenant, service = "default", context, length, plaintext }: Fields) => ({
  tenant,
  service,
  context,
  length,
  plaintext,
});
const openOf = ({ wrapped, context }: Fields) => ({ wrapped: fromBase64url(wrapped as string), context });

/** Each form by bytes, and as JSON.parse and the schema have it. */
const FORMS: Record<string, { read: (body: Buffer) => unknown; schema: TSchema; of: (body: never) => unknown }> = {
  create: { read: readCreate, schema: CreateBody, of: createOf },
  open: { read: readOpen, schema: DecryptBody, of: openOf },
};
const checks = Object.fromEntries(
  Object.entries(FORMS).map(([name, { schema }]) => [name, TypeCompiler.Compile(schema)]),
);

function byParser(name: string, text: string): unknown {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return undefined;
  }
  return checks[name]!.Check(body) ? FORMS[name]!.of(body as never) : undefined;
}

/** Plain values, so that a Buffer equals a Uint8Array of the same bytes. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

/** As an item of a list, between others. */
function asItem(text: string): unknown {
  const before = '{"items":[{"wrapped":"AAAA"},';
  const body = Buffer.from(`${before}${text},{}]}`);
  const length = Buffer.byteLength(text);
  const item = readOpenItem(body, before.length, before.length + length);
  // What comes after it is the list's; a body is one object and space.
  return item !== undefined && body.toString("latin1", endOfItem(), before.length + length).trim() === ""
    ? item
    : undefined;
}

/** What the reader takes is what the parser takes; returns whether it did. */
function same(name: string, text: string): boolean {
  const expected = byParser(name, text);
  const read = FORMS[name]!.read(Buffer.from(text));
  if (name === "open") expect([text, plain(asItem(text))]).toEqual([text, plain(read)]);
  if (read === undefined) return false;
  expect([text, plain(read)]).toEqual([text, plain(expected)]);
  return true;
}

const blob = Buffer.from(crypto.getRandomValues(new Uint8Array(133))).toString("base64url");
const wrapped = { wrapped: blob };

describe("the reader of bodies", () => {
  test("takes what clients' JSON writers give, pretty or not, as the parser does", () => {
    const key = { tenant: "tenant-a", service: "billing" };
    const taken: [string, unknown][] = [
      ["create", key],
      ["create", { tenant: "t" }],
      ["create", { ...key, length: 64, plaintext: true, context: { row: "42", "a b": "~!@#$%^&*()" } }],
      ["create", { plaintext: false, context: {}, service: "S_0-1.2:3", tenant: "9" }],
      ["open", wrapped],
      ["open", { context: { a: "b" }, ...wrapped }],
      ["open", { wrapped: "" }],
    ];
    for (const [name, body] of taken) {
      for (const space of [undefined, 1, "\t"]) {
        const text = JSON.stringify(body, null, space);
        expect([text, same(name, text)]).toEqual([text, true]);
        expect(same(name, ` ${text}\r\n`)).toBe(true);
      }
    }
  });

  test("leaves every other form to the parser", () => {
    const others: [string, string][] = [
      ["create", ""],
      ["create", "{}"],
      ["create", "null"],
      ["create", '{"tenant":"a"'],
      ["create", '{"tenant":"a"}}'],
      ["create", '{"tenant":"a",}'],
      ["create", '{"tenant":"a" "service":"b"}'],
      ["create", '{"tenant":"a","tenant":"b"}'],
      ["create", '{"tenant":""}'],
      ["create", '{"tenant":"-a"}'],
      ["create", `{"tenant":"${"a".repeat(129)}"}`],
      ["create", '{"tenant":"\\u0061"}'],
      ["create", '{"tenant":"ü"}'],
      ["create", '{"tenant":"a","length":32.0}'],
      ["create", '{"tenant":"a","length":24}'],
      ["create", '{"tenant":"a","length":032}'],
      ["create", '{"tenant":"a","length":-16}'],
      ["create", '{"tenant":"a","plaintext":truE}'],
      ["create", '{"tenant":"a","more":1}'],
      ["create", '{"tenant":"a","context":{"":"x"}}'],
      ["create", '{"tenant":"a","context":{"__proto__":"x"}}'],
      ["create", '{"tenant":"a","context":{"a":"x","a":"y"}}'],
      ["create", '{"tenant":"a","context":{"a":"\\""}}'],
      ["create", '\ufeff{"tenant":"a"}'],
      ["open", '{"wrapped":"AA=="}'],
      ["open", '{"wrapped":"AB"}'],
      ["open", '{"wrapped":"AAB"}'],
      ["open", '{"wrapped":"AAAAA"}'],
      ["open", '{"wrapped":"A A"}'],
      ["open", '{"wrapped":"AAAA'],
      ["open", `{"wrapped":"${"A".repeat(200_000)}"}`],
    ];
    for (const [name, text] of others) expect([text, FORMS[name]!.read(Buffer.from(text))]).toEqual([text, undefined]);
  });

  test("changes nothing of a body that it does not take", () => {
    const text = `{"wrapped":"${blob}","context":{"a":"ü"}}`;
    const body = Buffer.from(text);
    expect(readOpen(body)).toBeUndefined();
    expect(body.toString()).toBe(text);
  });

  test("gives values as they were encoded, of every length", () => {
    for (let length = 0; length < 200; length++) {
      const value = crypto.getRandomValues(new Uint8Array(length));
      const item = { tenant: "t", service: "s", value: Buffer.from(value).toString("base64url"), context: { a: "b" } };
      const read = { tenant: "t", service: "s", value: Buffer.from(value), context: { a: "b" } };
      expect(plain(readEncrypt(Buffer.from(JSON.stringify(item))))).toEqual(plain(read));
    }
  });

  test("never takes what the parser does not, nor otherwise, whatever the bytes are", () => {
    const context = fc.oneof(fc.dictionary(fc.string({ minLength: 1 }), fc.string()), fc.jsonValue());
    const item = fc.record(
      { wrapped: fc.oneof(fc.constant(blob), fc.base64String(), fc.string()), context },
      { requiredKeys: ["wrapped"] },
    );
    const key = {
      tenant: fc.oneof(fc.constant("tenant-a"), fc.string(), fc.jsonValue()),
      service: fc.oneof(fc.constant("billing"), fc.string()),
      length: fc.oneof(fc.constantFrom(16, 32, 64), fc.integer()),
      plaintext: fc.oneof(fc.boolean(), fc.jsonValue()),
      context,
    };
    const create = fc.record(key, { requiredKeys: ["tenant"] });
    const body = fc.oneof(
      create.map((made) => ["create", made] as const),
      item.map((made) => ["open", made] as const),
      fc.tuple(fc.constantFrom(...Object.keys(FORMS)), fc.jsonValue()),
    );
    let taken = 0;
    const property = fc.property(body, fc.nat(), fc.integer({ min: 0, max: 127 }), ([name, made], place, byte) => {
      const text = JSON.stringify(made);
      if (same(name, text)) taken++;
      // One byte altered: JSON of another form, or none.
      const altered = Buffer.from(text);
      altered[place % altered.length] = byte;
      same(name, altered.toString());
    });
    fc.assert(property, { numRuns: 5_000 });
    expect(taken).toBeGreaterThan(50);
  });
});

test("an item ends before its limit, or is of another form; the bytes behind that are not looked at", () => {
  const item = `{"wrapped":"${blob}","context":{"a":"b"}}`;
  const body = Buffer.from(`  ${item}  `);
  expect(plain(readOpenItem(body, 0, body.length))).toEqual(
    plain({ wrapped: Buffer.from(blob, "base64url"), context: { a: "b" } }),
  );
  expect(endOfItem()).toBe(2 + item.length);
  for (let end = 0; end < 2 + item.length; end++) {
    expect(readOpenItem(Buffer.from(`  ${item}  `), 0, end)).toBeUndefined();
  }
  const value = Buffer.from("chosen").toString("base64url");
  const encrypt = Buffer.from(`{"tenant":"tenant-a","value":"${value}"}`);
  expect(plain(readEncryptItem(encrypt, 0, encrypt.length))).toEqual(
    plain({ tenant: "tenant-a", service: "default", value: Buffer.from("chosen"), context: undefined }),
  );
  // Long names and numbers and much space are not passed over either.
  for (const text of [
    `{"tenant":"${"a".repeat(9_000)}`,
    `{"wrapped":${" ".repeat(9_000)}`,
    `{"length":${"9".repeat(9_000)}`,
  ]) {
    expect(readOpenItem(Buffer.from(text), 0, 100)).toBeUndefined();
    expect(readEncryptItem(Buffer.from(text), 0, 100)).toBeUndefined();
  }
});
