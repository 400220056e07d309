/** The bounds of the memory that libcrypto works in. */
import { describe, expect, test } from "bun:test";
import { BLOB, POOL } from "../../../../src/edge/cipher/openssl/scratch.ts";
import { opensslParts } from "../../../support/openssl-parts.ts";

const NO_CONTEXT = new Uint8Array(0);
/** All fields of the longest names: 10 + 2 * 128, salt, nonce, commitment. */
const HEADER_LENGTH = 10 + 2 * 128 + 16 + 12 + 32;
const NONCE_AT = 10 + 2 * 128 + 16;
const LONGEST = 65_536;
const KEY = new Uint8Array(32).fill(8);

describe("the longest blob", () => {
  const { adapter, parts } = opensslParts();
  const key = adapter.keyOf(KEY, NO_CONTEXT);
  const header = new Uint8Array(HEADER_LENGTH).fill(4);

  test("fits, with the longest context, and so does what comes after it", () => {
    const value = new Uint8Array(LONGEST).map((_, index) => index % 251);
    const context = new Uint8Array(8192).fill(1);
    const blob = key.seal(header, NONCE_AT, context, value);
    expect(blob).toHaveLength(HEADER_LENGTH + LONGEST + 16);
    expect(key.open(blob, NONCE_AT, HEADER_LENGTH, context)).toEqual(value);
    const short = key.seal(header, NONCE_AT, NO_CONTEXT, KEY);
    expect(key.open(short, NONCE_AT, HEADER_LENGTH, NO_CONTEXT)).toEqual(KEY);
    expect(key.open(blob, NONCE_AT, HEADER_LENGTH, context)).toEqual(value);
  });

  test("may not be a byte longer, to be made or to be opened", () => {
    const before = parts.scratch.bytes.slice(BLOB, BLOB + 64);
    const longer = new Uint8Array(LONGEST + 1);
    expect(() => key.seal(header, NONCE_AT, NO_CONTEXT, longer)).toThrow("No blob is so long.");
    expect(() => key.open(new Uint8Array(HEADER_LENGTH + LONGEST + 17), NONCE_AT, HEADER_LENGTH, NO_CONTEXT)).toThrow(
      "No blob is so long.",
    );
    expect(parts.scratch.bytes.slice(BLOB, BLOB + 64)).toEqual(before);
  });
});

test.each([
  [1, 4],
  [4, 4],
  [5, 8],
  [12, 12],
  [33, 36],
])("wiping %d bytes wipes the %d that whole words have, and no other", (length, wiped) => {
  const { scratch } = opensslParts().parts;
  scratch.bytes.fill(7, POOL, POOL + 64);
  scratch.wipeWords(POOL + 8, length);
  expect([...scratch.bytes.subarray(POOL, POOL + 64)]).toEqual([
    ...new Array(8).fill(7),
    ...new Array(wiped).fill(0),
    ...new Array(56 - wiped).fill(7),
  ]);
});

test("blobs of one length are copies, each with bytes of its own", () => {
  const { scratch } = opensslParts().parts;
  scratch.putBlob(new Uint8Array(100).fill(1));
  const first = scratch.takeBlob(100);
  scratch.putBlob(new Uint8Array(100).fill(2));
  expect(scratch.takeBlob(100)).toEqual(new Uint8Array(100).fill(2));
  expect(first).toEqual(new Uint8Array(100).fill(1));
});
