import { describe, expect, test } from "bun:test";
import { OperationError } from "../../../src/base/errors.ts";
import { parseBlob, type Suite } from "../../../src/edge/cipher/blob.ts";
import { encodeContext } from "../../../src/edge/cipher/context.ts";
import { createCipher } from "../../../src/edge/cipher/sessions.ts";
import { ADAPTERS } from "../../support/ciphers.ts";
import dataKeys from "../../vectors/blob-v1.json" with { type: "json" };
import values from "../../vectors/blob-v1-suite-2.json" with { type: "json" };

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"));
const hex = (value: Uint8Array): string => Buffer.from(value).toString("hex");
const reader = (key: string) => ({ use: <T>(read: (key: Uint8Array) => T): T => read(bytes(key)) });

const OPEN = [
  ...dataKeys.open.map((vector) => ({ ...vector, suite: 1 as Suite, plaintext: vector.l4 })),
  ...values.open.map((vector) => ({ ...vector, suite: 2 as Suite, plaintext: vector.value })),
];
const REFUSE = [
  ...dataKeys.refuse.map((vector) => ({ ...vector, accepted: 1 as Suite })),
  ...values.refuse.map((vector) => ({ ...vector, accepted: 2 as Suite })),
];

for (const [adapterName, adapter] of Object.entries(ADAPTERS)) {
  describe(`every vector that opens, by ${adapterName}`, () => {
    for (const vector of OPEN) {
      const { name, suite, l3, plaintext, blob, tenant, service, version } = vector;
      const identity = { tenant, service, version };
      const context = encodeContext(vector.context as Record<string, string>);

      test(`opens: suite ${suite}, ${name}`, () => {
        const parsed = parseBlob(bytes(blob));
        expect(parsed).toMatchObject({ ...identity, suite });
        expect(hex(createCipher({ adapter: adapter() }).begin(identity, reader(l3)).unwrap(parsed, context))).toBe(
          plaintext,
        );
      });

      test(`is made again, byte for byte, from its salt and nonce: suite ${suite}, ${name}`, () => {
        const draws = [bytes(vector.salt), bytes(vector.nonce)];
        const cipher = createCipher({ adapter: adapter((target) => target.set(draws.shift()!)) });
        expect(hex(cipher.begin(identity, reader(l3)).wrap(bytes(plaintext), context, suite))).toBe(blob);
      });

      test(`is refused by the operation for the other suite: suite ${suite}, ${name}`, () => {
        expect(() => parseBlob(bytes(blob), suite === 1 ? 2 : 1)).toThrow(/operation for (keys|values)/);
      });
    }
  });

  describe(`every vector that must not open, by ${adapterName}`, () => {
    for (const vector of REFUSE) {
      test(`is refused as ${vector.code}: suite ${vector.accepted}, ${vector.name}`, () => {
        let code: string | undefined;
        try {
          const parsed = parseBlob(bytes(vector.blob));
          const session = createCipher({ adapter: adapter() }).begin(parsed, reader(vector.l3));
          session.unwrap(parsed, encodeContext(vector.context as Record<string, string>));
        } catch (error) {
          if (!(error instanceof OperationError)) throw error;
          code = error.code;
        }
        expect(code).toBe(vector.code);
      });
    }
  });
}
