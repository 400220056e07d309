/** The encoding of contexts, against another implementation of blob-format.md, "Encryption context". */
import { describe, expect, spyOn, test } from "bun:test";
import {
  CONTEXT_BYTES_MAX,
  CONTEXT_ENTRIES_MAX,
  decodeContext,
  type EncryptionContext,
  encodeContext,
} from "../../../src/edge/cipher/context.ts";
import { errorOf } from "../../support/error-of.ts";
import { referenceContext } from "../../support/reference-cipher.ts";

const entries = (count: number, key: (index: number) => string): EncryptionContext =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [key(index), String(index)]));

/** Each in another order than its keys' bytes have. */
const CONTEXTS: Readonly<Record<string, EncryptionContext>> = {
  "one entry": { purpose: "invoice" },
  "an empty value": { purpose: "" },
  "keys that begin alike": { ab: "1", aa: "2", a: "3", abc: "4" },
  "keys that differ by one": { b: "1", a: "2", c: "3" },
  "64 keys of ASCII": entries(CONTEXT_ENTRIES_MAX, (index) => `key-${(index * 37) % 64}`),
  "64 keys that are not": entries(CONTEXT_ENTRIES_MAX, (index) => `schlüssel-${(index * 37) % 64}`),
  "the first unit that is no ASCII, in a key": { "\u0080": "1", a: "2" },
  "the first unit that is no ASCII, in a value": { a: "\u0080", b: "2" },
  "the first unit that is no ASCII, and nothing else": { "\u0080": "" },
  "the last unit that is ASCII": { "\u007f": "\u007f", "\u0000": "\u0000" },
  "keys whose units are in another order than their bytes": { "\u{1f511}": "1", "\uff5e": "2" },
  "a byte order mark": { "\ufeffa": "\ufeff" },
  "names that every object has": { ["__proto__"]: "1", constructor: "2", toString: "3" },
  "a text longer than 255 bytes": { a: "x".repeat(300), b: "ü".repeat(300) },
  "a long text of ASCII": { ["k".repeat(258)]: "x".repeat(513) },
};

describe.each(Object.entries(CONTEXTS))("a context of %s", (_, context) => {
  test("has one encoding, whatever the order of its entries, and comes back from it", () => {
    const expected = new Uint8Array(referenceContext(context));
    expect(encodeContext(context)).toEqual(expected);
    expect(encodeContext(Object.fromEntries(Object.entries(context).reverse()))).toEqual(expected);
    expect(Object.entries(decodeContext(expected)).sort()).toEqual(Object.entries(context).sort());
  });
});

test("no context, and an empty one, have no bytes", () => {
  expect(encodeContext(undefined)).toHaveLength(0);
  expect(encodeContext({})).toHaveLength(0);
  expect(Object.keys(decodeContext(new Uint8Array(0)))).toEqual([]);
});

test("what is not UTF-8 is no context, in a key or in a value", () => {
  const encoded = encodeContext({ a: "b" });
  for (const at of [encoded.indexOf(0x61), encoded.indexOf(0x62)]) {
    expect(() => decodeContext(encoded.with(at, 0xff))).toThrow();
  }
});

test("a decoded context has no properties but its entries", () => {
  expect(Object.getPrototypeOf(decodeContext(encodeContext({ a: "b" })))).toBeNull();
});

/** Of exactly so many bytes when it is encoded. */
const ofLength = (length: number, filler: string): EncryptionContext => ({ a: filler.repeat(length - 7) });

describe("what is refused as invalid_request", () => {
  const refusals: readonly (readonly [what: string, context: unknown, says: string])[] = [
    ["an entry too many", entries(CONTEXT_ENTRIES_MAX + 1, (index) => `k${index}`), "more than 64 entries"],
    ["an empty key", { "": "x" }, "empty key"],
    ["an empty key among others", { a: "1", "": "x", ü: "2" }, "empty key"],
    ["a number", { a: 7 }, "not a string"],
    ["a text that is no string", { a: { length: 1 } }, "not a string"],
    ["nothing", { a: undefined }, "not a string"],
    ["half a character in a key", { "a\ud800": "x" }, "lone surrogate"],
    ["half a character in a value", { a: "\udc00" }, "lone surrogate"],
    ["a byte too many", ofLength(CONTEXT_BYTES_MAX + 1, "x"), "longer than 8192 bytes"],
    [
      "two bytes too many, of other text",
      { ...ofLength(CONTEXT_BYTES_MAX - 7, "x"), ü: "éé" },
      "longer than 8192 bytes",
    ],
    ["a text far too long", { a: "x".repeat(70_000) }, "longer than 8192 bytes"],
  ];
  test.each(refusals)("%s", (_, context, says) => {
    const { code, message } = errorOf(() => encodeContext(context as EncryptionContext));
    expect(code).toBe("invalid_request");
    expect(message).toContain(says);
    expect(message).toContain("at most 64 non-empty keys to strings, 8192 bytes in all");
  });

  test("but not what is just as large as allowed", () => {
    expect(encodeContext(ofLength(CONTEXT_BYTES_MAX, "x"))).toHaveLength(CONTEXT_BYTES_MAX);
    const other = { ü: `${"x".repeat(CONTEXT_BYTES_MAX - 8)}` };
    expect(encodeContext(other)).toEqual(new Uint8Array(referenceContext(other)));
    expect(encodeContext(other)).toHaveLength(CONTEXT_BYTES_MAX);
  });
});

test("ASCII takes the short way, to the last byte that is allowed", () => {
  const encode = spyOn(TextEncoder.prototype, "encode");
  try {
    for (const name of ["one entry", "keys that begin alike", "64 keys of ASCII", "the last unit that is ASCII"]) {
      encodeContext(CONTEXTS[name]);
    }
    encodeContext(ofLength(CONTEXT_BYTES_MAX, "x"));
    expect(encode).toHaveBeenCalledTimes(0);
    encodeContext({ ü: "x" });
    expect(encode).toHaveBeenCalledTimes(2);
  } finally {
    encode.mockRestore();
  }
});

test("work ends at the first entry too many", () => {
  const encode = spyOn(TextEncoder.prototype, "encode");
  try {
    const context = Object.fromEntries(Array.from({ length: 64 }, (_, index) => [`ü${index}`, "x".repeat(3_000)]));
    expect(errorOf(() => encodeContext(context)).code).toBe("invalid_request");
    expect(encode.mock.calls.length).toBeLessThanOrEqual(6);
  } finally {
    encode.mockRestore();
  }
});

describe("bytes that no context has", () => {
  const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
  test.each([
    ["half a count", "00"],
    ["no entry", "0000"],
    ["an entry less than the count says", "0002 0001 61 0001 62"],
    ["an entry more", "0001 0001 61 0001 62 0001 63 0000"],
    ["a key that ends behind the end", "0001 0005 61"],
    ["a value that ends behind the end", "0001 0001 61 0002 62"],
    ["half a length", "0001 0001 61 00"],
    ["keys in another order", "0002 0001 62 0000 0001 61 0000"],
    ["a key twice", "0002 0001 61 0000 0001 61 0000"],
    ["text that is no UTF-8", "0001 0001 ff 0000"],
    ["a value that is no UTF-8", "0001 0001 61 0001 c3"],
  ])("%s", (_, bytes) => {
    const { code, message } = errorOf(() => decodeContext(hex(bytes)));
    expect(code).toBe("invalid_request");
    expect(message).toContain("is not encoded as blob-format.md has it");
  });

  test("an empty key", () => {
    expect(errorOf(() => decodeContext(hex("0001 0000 0001 61"))).code).toBe("invalid_request");
  });

  test("as many bytes as are allowed are read, of a Buffer in the middle of another too", () => {
    const context = ofLength(CONTEXT_BYTES_MAX, "x");
    const around = Buffer.concat([Buffer.from("before"), encodeContext(context), Buffer.from("after")]);
    expect({ ...decodeContext(around.subarray(6, -5)) }).toEqual(context);
  });
});
