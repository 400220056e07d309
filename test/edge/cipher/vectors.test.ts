import { describe, expect, test } from "bun:test";
import { CryptoEdgeError } from "../../../src/base/errors.ts";
import { createAesGcmCipher } from "../../../src/edge/cipher/aes-gcm.ts";
import { parseBlob } from "../../../src/edge/cipher/blob.ts";
import { encodeContext } from "../../../src/edge/cipher/context.ts";
import vectors from "../../vectors/blob-v1.json" with { type: "json" };

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"));
const reader = (hex: string) => ({ use: <T>(read: (key: Uint8Array) => T): T => read(bytes(hex)) });

describe("every vector that opens", () => {
  for (const vector of vectors.open) {
    const identity = { tenant: vector.tenant, service: vector.service, version: vector.version };
    const context = encodeContext(vector.context as Record<string, string>);

    test(`opens: ${vector.name}`, () => {
      const wrapped = parseBlob(bytes(vector.blob));
      expect({ tenant: wrapped.tenant, service: wrapped.service, version: wrapped.version }).toEqual(identity);
      const session = createAesGcmCipher().begin(identity, reader(vector.l3));
      expect(Buffer.from(session.unwrap(wrapped, context)).toString("hex")).toBe(vector.l4);
    });

    test(`is made again, byte for byte, from its salt and nonce: ${vector.name}`, () => {
      const draws = [bytes(vector.salt), bytes(vector.nonce)];
      const session = createAesGcmCipher({ fillRandom: (target) => target.set(draws.shift()!) }).begin(
        identity,
        reader(vector.l3),
      );
      expect(Buffer.from(session.wrap(bytes(vector.l4), context)).toString("hex")).toBe(vector.blob);
    });
  }
});

describe("every vector that must not open", () => {
  for (const vector of vectors.refuse) {
    test(`is refused as ${vector.code}: ${vector.name}`, () => {
      let code: string | undefined;
      try {
        const wrapped = parseBlob(bytes(vector.blob));
        const session = createAesGcmCipher().begin(wrapped, reader(vector.l3));
        session.unwrap(wrapped, encodeContext(vector.context as Record<string, string>));
      } catch (error) {
        if (!(error instanceof CryptoEdgeError)) throw error;
        code = error.code;
      }
      expect(code).toBe(vector.code);
    });
  }
});
