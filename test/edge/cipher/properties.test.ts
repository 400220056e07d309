import { describe, expect, test } from "bun:test";
import { OperationError } from "../../../src/base/errors.ts";
import { type ParsedBlob, parseBlob, type ServiceKeyIdentity } from "../../../src/edge/cipher/blob.ts";
import { decodeContext, encodeContext } from "../../../src/edge/cipher/context.ts";
import { type CipherOptions, createCipher } from "../../../src/edge/cipher/sessions.ts";
import { ADAPTERS, nodeCipher } from "../../support/ciphers.ts";
import { fc } from "../../support/properties.ts";

const alphanumeric = [..."ABCXYZabcxyz0189"];
const name = fc
  .tuple(
    fc.constantFrom(...alphanumeric),
    fc.string({ unit: fc.constantFrom(...alphanumeric, ..."._:-"), maxLength: 127 }),
  )
  .map(([first, rest]) => first + rest);
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const identity: fc.Arbitrary<ServiceKeyIdentity> = fc.record({
  tenant: name,
  service: name,
  version: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
});
const context = fc.dictionary(
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }),
  fc.string({ unit: "grapheme", maxLength: 40 }),
  {
    maxKeys: 8,
    noNullPrototype: false,
  },
);
const dataKey = fc.constantFrom(16, 32, 64).chain(bytes);
const reader = (key: Uint8Array) => ({ use: <T>(read: (key: Uint8Array) => T): T => read(key) });

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof OperationError) return error.code;
    throw error;
  }
  return "opened";
};

describe("the parser", () => {
  test("throws invalid_blob and nothing else, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), (random) => {
        expect(["invalid_blob", "opened"]).toContain(codeOf(() => parseBlob(random)));
      }),
      { numRuns: 2_000 },
    );
  });

  test("throws invalid_blob and nothing else for blobs that were cut, grown, or changed", () => {
    const blob = nodeCipher()
      .begin({ tenant: "tenant-a", service: "billing", version: 3 }, reader(new Uint8Array(32)))
      .wrap(new Uint8Array(32), new Uint8Array(0));
    const mutation = fc.record({ at: fc.nat(blob.length - 1), byte: fc.nat(255) });
    fc.assert(
      fc.property(
        fc.array(mutation, { maxLength: 4 }),
        fc.integer({ min: 0, max: blob.length + 64 }),
        (mutations, length) => {
          const changed = new Uint8Array(length);
          changed.set(blob.subarray(0, Math.min(length, blob.length)));
          for (const { at, byte } of mutations) if (at < length) changed[at] = byte;
          expect(["invalid_blob", "opened"]).toContain(codeOf(() => parseBlob(changed)));
        },
      ),
      { numRuns: 5_000 },
    );
  });

  test("reads a blob in one way only: what it read makes the same identity bytes again", () => {
    fc.assert(
      fc.property(identity, (of) => {
        const blob = nodeCipher()
          .begin(of, reader(new Uint8Array(32)))
          .wrap(new Uint8Array(16), new Uint8Array(0));
        const wrapped = parseBlob(blob);
        expect(wrapped.saltOffset).toBe(10 + of.tenant.length + of.service.length);
        expect(blob.length).toBe(wrapped.tagOffset + 16);
      }),
    );
  });
});

describe("the context's encoding", () => {
  test("comes back from its bytes, and does not depend on the order of insertion", () => {
    fc.assert(
      fc.property(context, (given) => {
        const encoded = encodeContext(given);
        expect({ ...decodeContext(encoded) }).toEqual(given);
        const reversed = Object.fromEntries(Object.entries(given).reverse());
        expect(encodeContext(reversed)).toEqual(encoded);
      }),
    );
  });

  test("is read from no bytes but its own: anything else is invalid_request", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 60 }), (random) => {
        const outcome = codeOf(() => decodeContext(random));
        if (outcome === "opened") expect(encodeContext(decodeContext(random))).toEqual(random);
        else expect(outcome).toBe("invalid_request");
      }),
      { numRuns: 2_000 },
    );
  });
});

for (const [name, adapter] of Object.entries(ADAPTERS)) {
  const newCipher = (options: Omit<CipherOptions, "adapter"> = {}) => createCipher({ ...options, adapter: adapter() });

  describe(`the blob, by ${name}`, () => {
    test("opens to the data key that went in, whatever the names, the version, the key and the context", () => {
      fc.assert(
        fc.property(identity, bytes(32), dataKey, context, (of, serviceKey, secret, given) => {
          const cipher = newCipher();
          const encoded = encodeContext(given);
          const blob = cipher.begin(of, reader(serviceKey)).wrap(secret, encoded);
          const wrapped = parseBlob(blob);
          expect(wrapped).toMatchObject({ ...of });
          expect(cipher.begin(wrapped, reader(serviceKey)).unwrap(wrapped, encoded)).toEqual(secret);
        }),
      );
    });

    test("may come in a Buffer, or in the middle of one, and stays as it is", () => {
      const of = { tenant: "tenant-a", service: "billing", version: 3 };
      const serviceKey = reader(new Uint8Array(32).fill(7));
      const cipher = newCipher();
      const dataKey = Buffer.from("0123456789abcdef0123456789abcdef");
      const blob = cipher.begin(of, serviceKey).wrap(dataKey, Buffer.from(encodeContext({ a: "b" })));
      const whole = Buffer.concat([Buffer.from("before"), blob, Buffer.from("after")]);
      const before = whole.toString("hex");
      const session = cipher.begin(of, serviceKey);
      for (let time = 0; time < 3; time++) {
        const parsed = parseBlob(whole.subarray(6, -5));
        const opened = session.unwrap(parsed, Buffer.from(encodeContext({ a: "b" })));
        expect(Buffer.from(opened).equals(dataKey)).toBe(true);
      }
      expect(whole.toString("hex")).toBe(before);
    });

    test("fails with any one bit of it changed", () => {
      const serviceKey = new Uint8Array(32).fill(7);
      const cipher = newCipher();
      const of = { tenant: "tenant-a", service: "billing", version: 3 };
      const writer = cipher.begin(of, reader(serviceKey));
      const blob = writer.wrap(new Uint8Array(32).fill(9), encodeContext({ a: "b" }));
      const outcomes = new Set<string>();
      for (let bit = 0; bit < blob.length * 8; bit++) {
        const changed = blob.slice();
        changed[bit >> 3]! ^= 1 << (bit & 7);
        for (const session of [undefined, writer]) {
          const outcome = codeOf(() => {
            const wrapped = parseBlob(changed);
            (session ?? cipher.begin(wrapped, reader(serviceKey))).unwrap(wrapped, encodeContext({ a: "b" }));
          });
          outcomes.add(outcome);
        }
      }
      expect([...outcomes].sort()).toEqual(["decryption_failed", "invalid_blob"]);
    });

    test("fails with any one bit of the context changed, or with another length of data", () => {
      fc.assert(
        fc.property(context, fc.nat(), (given, at) => {
          const encoded = encodeContext(given);
          fc.pre(encoded.length > 0);
          const serviceKey = new Uint8Array(32).fill(7);
          const session = newCipher().begin({ tenant: "a", service: "b", version: 1 }, reader(serviceKey));
          const wrapped = parseBlob(session.wrap(new Uint8Array(16), encoded));
          const changed = encoded.slice();
          const bit = at % (changed.length * 8);
          changed[bit >> 3]! ^= 1 << (bit & 7);
          expect(codeOf(() => session.unwrap(wrapped, changed))).toBe("decryption_failed");
          expect(codeOf(() => session.unwrap(wrapped, new Uint8Array(0)))).toBe("decryption_failed");
          expect(codeOf(() => session.unwrap(wrapped, encoded))).toBe("opened");
        }),
      );
    });
  });

  describe(`a wrapping session, by ${name}`, () => {
    test("draws a new salt when one has served its number of blobs, and opens them all", () => {
      const session = newCipher({ blobsPerSalt: 3 }).begin(
        { tenant: "a", service: "b", version: 1 },
        reader(new Uint8Array(32)),
      );
      const blobs = Array.from({ length: 10 }, () =>
        parseBlob(session.wrap(new Uint8Array(32).fill(5), new Uint8Array(0))),
      );
      const salts = new Set(
        blobs.map((blob) => Buffer.from(blob.bytes.subarray(blob.saltOffset, blob.nonceOffset)).toString("hex")),
      );
      expect(salts.size).toBe(4);
      for (const blob of blobs) expect(session.unwrap(blob, new Uint8Array(0))).toEqual(new Uint8Array(32).fill(5));
    });

    test("never uses a nonce twice", () => {
      const session = newCipher().begin({ tenant: "a", service: "b", version: 1 }, reader(new Uint8Array(32)));
      const nonces = Array.from({ length: 5_000 }, () => {
        const blob = parseBlob(session.wrap(new Uint8Array(16), new Uint8Array(0)));
        return Buffer.from(blob.bytes.subarray(blob.nonceOffset, blob.commitmentOffset)).toString("hex");
      });
      expect(new Set(nonces).size).toBe(nonces.length);
    });

    test("keeps a bounded number of keys for opening, and still opens what fell out", () => {
      const serviceKey = reader(new Uint8Array(32).fill(3));
      const of = { tenant: "a", service: "b", version: 1 };
      const writer = newCipher({ blobsPerSalt: 1 }).begin(of, serviceKey);
      const blobs = Array.from({ length: 50 }, () => parseBlob(writer.wrap(new Uint8Array(16), new Uint8Array(0))));
      const session = newCipher({ readyKeysMax: 4 }).begin(of, serviceKey);
      for (const blob of [...blobs, ...blobs]) expect(session.unwrap(blob, new Uint8Array(0))).toHaveLength(16);
    });

    describe("reads the service key only to derive", () => {
      const serviceKey = new Uint8Array(32).fill(7);
      const of = { tenant: "a", service: "b", version: 1 };
      const begin = (blobsPerSalt?: number) => {
        const reads = { count: 0 };
        const counting = {
          use<T>(read: (key: Uint8Array) => T): T {
            reads.count++;
            return read(serviceKey);
          },
        };
        const session = newCipher(blobsPerSalt === undefined ? {} : { blobsPerSalt }).begin(of, counting);
        const wrap = () => parseBlob(session.wrap(new Uint8Array(16), new Uint8Array(0)));
        const unwrap = (blob: ParsedBlob) => session.unwrap(blob, new Uint8Array(0));
        return { reads, wrap, unwrap };
      };

      test("derives nothing again for a salt that it has opened, and keeps nothing of one that failed", () => {
        const blob = begin().wrap();
        const { reads, unwrap } = begin();
        for (let time = 0; time < 5; time++) unwrap(blob);
        expect(reads.count).toBe(1);
        const forged = blob.bytes.slice();
        forged[blob.saltOffset]! ^= 1;
        for (let time = 0; time < 5; time++) codeOf(() => unwrap(parseBlob(forged)));
        expect(reads.count).toBe(6);
      });

      test("derives nothing for what it wrapped itself, until it draws the next salt", () => {
        const { reads, wrap, unwrap } = begin(2);
        const [first, second] = [wrap(), wrap()];
        for (const blob of [first, second]) unwrap(blob);
        expect(reads.count).toBe(1);
        const third = wrap();
        expect(reads.count).toBe(2);
        for (const blob of [first, second, third]) expect(unwrap(blob)).toHaveLength(16);
        expect(reads.count).toBe(3);
        const forged = third.bytes.slice();
        forged[forged.length - 1]! ^= 1;
        expect(codeOf(() => unwrap(parseBlob(forged)))).toBe("decryption_failed");
        expect(reads.count).toBe(3);
      });
    });

    test("does nothing more once wiped", () => {
      const session = newCipher().begin({ tenant: "a", service: "b", version: 1 }, reader(new Uint8Array(32)));
      const blob = parseBlob(session.wrap(new Uint8Array(16), new Uint8Array(0)));
      session.wipe();
      session.wipe();
      expect(() => session.wrap(new Uint8Array(16), new Uint8Array(0))).toThrow("wiped");
      expect(() => session.unwrap(blob, new Uint8Array(0))).toThrow("wiped");
    });
  });
}
