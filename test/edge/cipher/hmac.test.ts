/** What HMAC and HKDF of our own leave, and their bounds; their answers are in published-vectors.test.ts. */
import { expect, test } from "bun:test";
import { createHmac, hkdfSync } from "node:crypto";
import { hmacSha256 } from "../../../src/edge/cipher/hmac.ts";
import { hkdfSha256 } from "../../../src/edge/cipher/key-derivation.ts";
import { wipedBy } from "../../support/wiped.ts";

const bytes = (length: number): Uint8Array => new Uint8Array(length).map((_, index) => (index * 7 + 1) % 256);

test.each([1, 32, 63, 64])("a key of %d bytes is taken, and its pads are wiped with the inner hash", (length) => {
  const [key, message] = [bytes(length), bytes(20)];
  let answered = new Uint8Array(0);
  const wiped = wipedBy(() => {
    answered = new Uint8Array(hmacSha256(key, message.subarray(0, 5), message.subarray(5)));
  });
  expect(Buffer.from(answered)).toEqual(createHmac("sha256", key).update(message).digest());
  const pad = (fill: number): Buffer => Buffer.alloc(64, fill).map((byte, index) => byte ^ (key[index] ?? 0)) as Buffer;
  const inner = Buffer.concat([pad(0x36), message]);
  const digest = Buffer.from(Bun.SHA256.hash(inner) as Uint8Array);
  const expected = [inner, Buffer.concat([pad(0x5c), digest]), digest];
  expect(wiped).toEqual(expected.map((secret) => Buffer.from(secret).toString("hex")));
});

test("messages of every length, one after another in the same memory, are authenticated in whole", () => {
  const key = bytes(32);
  for (const length of [20, 447, 448, 449, 5_000, 0, 448, 1]) {
    const message = bytes(length);
    expect(Buffer.from(hmacSha256(key, message))).toEqual(createHmac("sha256", key).update(message).digest());
  }
});

test("a key of 65 bytes is not", () => {
  expect(() => hmacSha256(bytes(65), bytes(1))).toThrow(RangeError);
});

test.each([1, 31, 32, 33, 64, 65, 255 * 32])(
  "HKDF gives %d bytes, and wipes each block and what it was made of",
  (length) => {
    const [key, salt, info] = [bytes(32), bytes(16), bytes(9)];
    let output = new Uint8Array(0);
    const wiped = wipedBy(() => {
      output = new Uint8Array(hkdfSha256(key, salt, info, length));
    });
    expect(Buffer.from(output)).toEqual(Buffer.from(hkdfSync("sha256", key, salt, info, length)));
    const blocks = Math.ceil(length / 32);
    const whole = Buffer.from(hkdfSync("sha256", key, salt, info, blocks * 32));
    // Of each block: the three of its HMAC, and the block itself; at the end the message and the pseudorandom key.
    expect(wiped).toHaveLength(4 * blocks + 2);
    for (let block = 0; block < blocks; block++) {
      expect(wiped[4 * block + 3]).toBe(whole.subarray(32 * block, 32 * block + 32).toString("hex"));
    }
    expect(wiped.at(-2)).toBe(Buffer.concat([whole.subarray(-32), info, Buffer.of(blocks)]).toString("hex"));
    expect(wiped.at(-1)).toBe(createHmac("sha256", salt).update(key).digest("hex"));
  },
);

test("HKDF has no output of a byte more", () => {
  expect(() => hkdfSha256(bytes(32), bytes(16), bytes(9), 255 * 32 + 1)).toThrow(RangeError);
});
