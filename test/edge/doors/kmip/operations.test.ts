/** docs/door-kmip.md: what each operation gives, in each version, and what it refuses. */
import { describe, expect, test } from "bun:test";
import { createCipheriv, createDecipheriv } from "node:crypto";
import { type ErrorCode, OperationError } from "../../../../src/base/errors.ts";
import { parseBlob } from "../../../../src/edge/cipher/blob.ts";
import { OPERATION, RESULT_REASON, TAG } from "../../../../src/edge/doors/kmip/enumerations.ts";
import { contextOf, readIdentifier, writeIdentifier } from "../../../../src/edge/doors/kmip/identifier.ts";
import { type Item, integerOf, textOf, unsignedOf } from "../../../../src/edge/doors/kmip/ttlv.ts";
import { VERSIONS } from "../../../../src/edge/doors/kmip/version.ts";
import {
  type Answer,
  aesAttributes,
  ask,
  askFor,
  attributes,
  CALLER,
  create,
  field,
  identifierOf,
  keyBlock,
  makeWorld,
  message,
  named,
  registerKey,
  registerSecret,
  type World,
  type Write,
} from "./world.ts";

const SEED = Uint8Array.from({ length: 96 }, (_, index) => index);
const KEY = new Uint8Array(32).fill(7);

async function made(world: World, version: number, bits?: number, mask?: number): Promise<string> {
  const { answers } = await ask(world, message(version, [create(version, bits, mask)]));
  return identifierOf(answers[0]!);
}

async function registered(world: World, version: number, request = registerSecret(version, SEED)): Promise<string> {
  const { answers } = await ask(world, message(version, [request]));
  return identifierOf(answers[0]!);
}

const materialOf = ({ payload }: Answer, object: number): Uint8Array =>
  field(payload, object, TAG.keyBlock, TAG.keyValue, TAG.keyMaterial)!.value;

const parameters =
  (mode: number, padding?: number, more?: Write): Write =>
  (writer) =>
    writer.structure(TAG.cryptographicParameters, () => {
      writer.enumeration(TAG.blockCipherMode, mode);
      if (padding !== undefined) writer.enumeration(TAG.paddingMethod, padding);
      more?.(writer);
    });

const CBC = parameters(1, 3);
const GCM = parameters(9);
const data =
  (bytes: string | Uint8Array, iv?: Uint8Array): Write =>
  (writer) => {
    writer.byteString(TAG.data, Buffer.from(bytes as string));
    if (iv !== undefined) writer.byteString(TAG.ivCounterNonce, iv);
  };
const all =
  (...writes: readonly Write[]): Write =>
  (writer) => {
    for (const write of writes) write(writer);
  };

describe.each([...VERSIONS])("version %d", (version) => {
  test("is answered in the version asked", async () => {
    const response = await ask(makeWorld(), message(version, [create(version)]));
    expect(response.version).toBe(`${Math.floor(version / 10)}.${version % 10}`);
    expect(response.last).toBe(false);
  });

  test("Create, Activate, Get: the same key each time, and Activate echoes the identifier", async () => {
    const world = makeWorld();
    const identifier = await made(world, version);
    expect(identifier).toStartWith("k.");
    const activated = await askFor(world, version, OPERATION.activate, named(identifier));
    expect(identifierOf(activated)).toBe(identifier);
    const [first, second] = [
      await askFor(world, version, OPERATION.get, named(identifier)),
      await askFor(world, version, OPERATION.get, named(identifier)),
    ];
    const key = materialOf(first, TAG.symmetricKey);
    expect(key).toHaveLength(32);
    expect(key).toEqual(materialOf(second, TAG.symmetricKey));
    const block = field(first.payload, TAG.symmetricKey, TAG.keyBlock);
    expect(unsignedOf(field(block, TAG.cryptographicAlgorithm)!)).toBe(3);
    expect(integerOf(field(block, TAG.cryptographicLength)!)).toBe(256);
  });

  test("Register gives back a secret of 96 bytes with its type, and a key with its algorithm", async () => {
    const world = makeWorld();
    const secret = await registered(world, version);
    expect(secret).toStartWith("s.");
    const got = await askFor(world, version, OPERATION.get, named(secret));
    expect(Buffer.from(materialOf(got, TAG.secretData))).toEqual(Buffer.from(SEED));
    expect(unsignedOf(field(got.payload, TAG.secretData, TAG.secretDataType)!)).toBe(2);
    const password = await registered(world, version, registerSecret(version, Buffer.from("secret"), 1, 1));
    const again = await askFor(world, version, OPERATION.get, named(password));
    expect(unsignedOf(field(again.payload, TAG.secretData, TAG.secretDataType)!)).toBe(1);
    const key = await registered(world, version, registerKey(version, KEY, { algorithm: 9 }));
    const block = field(
      (await askFor(world, version, OPERATION.get, named(key))).payload,
      TAG.symmetricKey,
      TAG.keyBlock,
    );
    expect(unsignedOf(field(block, TAG.cryptographicAlgorithm)!)).toBe(9);
  });

  test("gives the attributes that are asked for, all of KMIP 1.0, and no others", async () => {
    const world = makeWorld();
    const identifier = await made(world, version, 128, 4);
    const everything = await askFor(world, version, OPERATION.getAttributes, named(identifier));
    expect(attributesOf(everything, version)).toEqual({
      "Unique Identifier": identifier,
      "Object Type": 2,
      "Cryptographic Algorithm": 3,
      "Cryptographic Length": 128,
      "Cryptographic Usage Mask": 4,
      State: 2,
    });
    const state = await askFor(
      world,
      version,
      OPERATION.getAttributes,
      named(identifier, (writer) => {
        if (version >= 20) writer.enumeration(TAG.attributeReference, TAG.state);
        else writer.text(TAG.attributeName, "State");
      }),
    );
    expect(attributesOf(state, version)).toEqual({ State: 2 });
    const list = await askFor(world, version, OPERATION.getAttributeList, named(identifier));
    const names = list
      .payload!.items.slice(1)
      .map((item) => (version >= 20 ? NAME_OF[unsignedOf(item)]! : textOf(item)));
    expect(names.sort()).toEqual(Object.keys(attributesOf(everything, version)).sort());
  });

  test("Encrypt and Decrypt came with 1.2", async () => {
    const world = makeWorld();
    const identifier = await made(world, version);
    const encrypted = await askFor(world, version, OPERATION.encrypt, named(identifier, all(CBC, data("hello"))));
    expect(encrypted.ok).toBe(version >= 12);
    if (version < 12) expect(encrypted.reason).toBe(RESULT_REASON.operationNotSupported);
  });

  test("Query says what is done in this version", async () => {
    const answer = await askFor(makeWorld(), version, OPERATION.query, (writer) => {
      for (const asked of [1, 2, 3, 4, 10]) writer.enumeration(0x420074, asked);
    });
    const of = (tag: number): Item[] => answer.payload!.items.filter((item) => item.tag === tag);
    const operations = of(TAG.operation).map(unsignedOf);
    expect(operations).toContain(OPERATION.get);
    expect(operations.includes(OPERATION.encrypt)).toBe(version >= 12);
    expect(operations).not.toContain(OPERATION.revoke);
    expect(of(TAG.objectType).map(unsignedOf)).toEqual([2, 7]);
    expect(textOf(of(TAG.vendorIdentification)[0]!)).toBe("crypto-edge test");
  });

  test("Destroy, Revoke, Locate and others that need state are refused, with what to do instead", async () => {
    const world = makeWorld();
    const identifier = await made(world, version);
    for (const operation of [2, 4, 5, 8, 9, 13, 14, 15, 19, 20, 21, 22, 35, 42, 99]) {
      const answer = await askFor(world, version, operation, named(identifier));
      expect(answer).toMatchObject({ ok: false, reason: RESULT_REASON.operationNotSupported, payload: undefined });
      expect(answer.message.length).toBeGreaterThan(40);
    }
    const destroyed = await askFor(world, version, OPERATION.destroy, named(identifier));
    expect(destroyed.message).toStartWith("Destroy is not done by this edge.");
    expect((await askFor(world, version, 99)).message).toStartWith("The operation 99 is not done");
    expect(destroyed.message).toContain("revoke the version of its service key at the Core");
    expect(destroyed.message).toContain("crypto-edge core revoke tenant-a billing --key-version 3");
    const unknown = await askFor(world, version, OPERATION.destroy, named("nope"));
    expect(unknown.message).toContain("crypto-edge core revoke TENANT SERVICE --key-version N");
    expect((await askFor(world, version, OPERATION.get, named(identifier))).ok).toBe(true);
  });
});

const NAME_OF: Readonly<Record<number, string>> = {
  [TAG.uniqueIdentifier]: "Unique Identifier",
  [TAG.objectType]: "Object Type",
  [TAG.cryptographicAlgorithm]: "Cryptographic Algorithm",
  [TAG.cryptographicLength]: "Cryptographic Length",
  [TAG.cryptographicUsageMask]: "Cryptographic Usage Mask",
  [TAG.state]: "State",
};

function attributesOf({ payload }: Answer, version: number): Record<string, string | number> {
  const value = (item: Item): string | number => (item.type === 7 ? textOf(item) : unsignedOf(item));
  const [, ...rest] = payload!.items;
  if (version >= 20) return Object.fromEntries(rest[0]!.items.map((item) => [NAME_OF[item.tag]!, value(item)]));
  return Object.fromEntries(rest.map(({ items: [name, given] }) => [textOf(name!), value(given!)]));
}

describe("Discover Versions", () => {
  const asked =
    (...versions: readonly (readonly [number, number])[]): Write =>
    (writer) => {
      for (const [major, minor] of versions) {
        writer.structure(TAG.protocolVersion, () => {
          writer.integer(TAG.protocolVersionMajor, major);
          writer.integer(TAG.protocolVersionMinor, minor);
        });
      }
    };
  const discover = async (write: Write): Promise<string[]> => {
    const answer = await askFor(makeWorld(), 11, OPERATION.discoverVersions, write);
    return answer.payload!.items.map(({ items }) => items.map(integerOf).join("."));
  };

  test("gives all, the newest first, or those that both speak", async () => {
    expect(await discover(asked())).toEqual(["2.1", "2.0", "1.4", "1.3", "1.2", "1.1", "1.0"]);
    expect(await discover(asked([1, 2], [3, 0], [1, 4], [9, 9]))).toEqual(["1.4", "1.2"]);
    expect(await discover(asked([3, 0]))).toEqual([]);
  });
});

describe("Create", () => {
  test.each([128, 192, 256])("makes AES keys of %d bits", async (bits) => {
    const world = makeWorld();
    const got = await askFor(world, 14, OPERATION.get, named(await made(world, 14, bits)));
    expect(materialOf(got, TAG.symmetricKey)).toHaveLength(bits / 8);
  });

  test.each<[string, Write]>([
    [
      "another algorithm",
      attributes(14, { "Cryptographic Algorithm": [0, "enumeration", 4], "Cryptographic Length": [0, "integer", 256] }),
    ],
    ["another length", aesAttributes(14, 100)],
    ["no length", attributes(14, { "Cryptographic Algorithm": [0, "enumeration", 3] })],
    ["a negative mask", aesAttributes(14, 256, -1)],
    [
      "one attribute twice",
      (writer) =>
        writer.structure(TAG.templateAttribute, () => {
          for (const value of [3, 3]) {
            writer.structure(TAG.attribute, () => {
              writer.text(TAG.attributeName, "Cryptographic Algorithm");
              writer.enumeration(TAG.attributeValue, value);
            });
          }
        }),
    ],
    [
      "an attribute with two values",
      (writer) =>
        writer.structure(TAG.templateAttribute, () =>
          writer.structure(TAG.attribute, () => {
            writer.text(TAG.attributeName, "Cryptographic Algorithm");
            writer.enumeration(TAG.attributeValue, 3);
            writer.enumeration(TAG.attributeValue, 3);
          }),
        ),
    ],
    [
      "an attribute whose value is something else",
      (writer) =>
        writer.structure(TAG.templateAttribute, () =>
          writer.structure(TAG.attribute, () => {
            writer.text(TAG.attributeName, "Cryptographic Algorithm");
            writer.enumeration(TAG.objectType, 3);
          }),
        ),
    ],
  ])("refuses %s", async (_name, write) => {
    const answer = await askFor(makeWorld(), 14, OPERATION.create, (writer) => {
      writer.enumeration(TAG.objectType, 2);
      write(writer);
    });
    expect(answer).toMatchObject({ ok: false, reason: RESULT_REASON.invalidField });
  });

  test("leaves names to the client, and refuses dates and limits that nothing here could hold", async () => {
    const withAttribute = (name: string, tag: number, kind: string, value: number): Promise<Answer> =>
      askFor(makeWorld(), 20, OPERATION.create, (writer) => {
        writer.enumeration(TAG.objectType, 2);
        attributes(20, {
          a: [TAG.cryptographicAlgorithm, "enumeration", 3],
          b: [TAG.cryptographicLength, "integer", 256],
          [name]: [tag, kind, value],
        })(writer);
      });
    expect((await withAttribute("object group", 0x420056, "integer", 1)).ok).toBe(true);
    expect((await withAttribute("activated in the past", TAG.activationDate, "date", 1_000)).ok).toBe(true);
    for (const [tag, value] of [
      [TAG.activationDate, 4_000_000_000],
      [TAG.deactivationDate, 4_000_000_000],
      [TAG.processStartDate, 1],
      [TAG.protectStopDate, 1],
      [TAG.usageLimits, 1],
    ] as const) {
      expect(await withAttribute("limit", tag, "date", value)).toMatchObject({
        ok: false,
        reason: RESULT_REASON.featureNotSupported,
      });
    }
  });

  test("is refused to a caller for whom there is no tenant", async () => {
    const { answers } = await ask(makeWorld({ homeless: true }), message(14, [create(14)]));
    expect(answers[0]).toMatchObject({ ok: false, reason: RESULT_REASON.permissionDenied });
  });
});

describe("Register", () => {
  const refused = async (request: ReturnType<typeof registerKey>): Promise<number | undefined> => {
    const [answer] = (await ask(makeWorld(), message(14, [request]))).answers;
    expect(answer!.ok).toBe(false);
    return answer!.reason;
  };

  test("takes a transparent key, and gives it raw", async () => {
    const world = makeWorld();
    const identifier = await registered(world, 14, registerKey(14, KEY, { format: 7 }));
    const got = await askFor(world, 14, OPERATION.get, named(identifier));
    expect(Buffer.from(materialOf(got, TAG.symmetricKey))).toEqual(Buffer.from(KEY));
  });

  test("refuses what is wrapped, compressed, of another format, or of another length than it says", async () => {
    expect(
      await refused(registerKey(14, KEY, { more: (writer) => writer.structure(TAG.keyWrappingData, () => undefined) })),
    ).toBe(RESULT_REASON.featureNotSupported);
    expect(await refused(registerKey(14, KEY, { format: 3 }))).toBe(RESULT_REASON.keyFormatTypeNotSupported);
    expect(await refused(registerKey(14, KEY, { length: 128 }))).toBe(RESULT_REASON.invalidField);
    expect(await refused(registerKey(14, KEY, { moreValue: (writer) => writer.integer(TAG.keyMaterial, 1) }))).toBe(
      RESULT_REASON.invalidField,
    );
    expect(await refused(registerKey(14, new Uint8Array(0)))).toBe(RESULT_REASON.invalidField);
    expect(
      await refused({
        operation: OPERATION.register,
        payload: (writer) => {
          writer.enumeration(TAG.objectType, 1);
        },
      }),
    ).toBe(RESULT_REASON.featureNotSupported);
    expect(
      await refused({
        operation: OPERATION.register,
        payload: (writer) => {
          writer.enumeration(TAG.objectType, 2);
          aesAttributes(14, 128)(writer);
          writer.structure(TAG.symmetricKey, () => keyBlock(writer, KEY, { algorithm: 3 }));
        },
      }),
    ).toBe(RESULT_REASON.invalidField);
  });
});

describe("an identifier", () => {
  test("holds a blob of suite 1 for a key that the edge made, of suite 2 for what the client registered", async () => {
    const world = makeWorld();
    expect(readIdentifier(await made(world, 14)).blob[3]).toBe(1);
    expect(readIdentifier(await registered(world, 14)).blob[3]).toBe(2);
  });

  test("of secret data can't be had as a key, nor with another type, mask or format; a key not as secret data", async () => {
    const world = makeWorld();
    const secret = await registered(world, 14);
    const key = await made(world, 14, 256, 4);
    expect(key).toStartWith("k.3-4-1.");
    const bytes = (identifier: string): string => identifier.slice(identifier.lastIndexOf(".") + 1);
    for (const forged of [
      `k.${bytes(secret)}`,
      `s.1-0-2.${bytes(secret)}`,
      `s.2-12-2.${bytes(secret)}`,
      `s.2-0-1.${bytes(secret)}`,
      `k.${bytes(key)}`,
      `k.3-6-1.${bytes(key)}`,
      `k.9-4-1.${bytes(key)}`,
      `s.${bytes(key)}`,
    ]) {
      for (const operation of [OPERATION.get, OPERATION.activate, OPERATION.getAttributes]) {
        const answer = await askFor(world, 14, operation, named(forged));
        expect(answer).toMatchObject({ ok: false, reason: RESULT_REASON.itemNotFound, payload: undefined });
      }
    }
  });

  test("has one spelling", async () => {
    const world = makeWorld();
    const key = await made(world, 14);
    const blob = key.slice(2);
    expect(readIdentifier(key).object).toEqual({ objectType: 2, algorithm: 3, usageMask: 12, keyFormat: 1 });
    for (const other of [
      `k.3-12-1.${blob}`,
      `k.03-4-1.${blob}`,
      `k.3-4294967295-1.${blob}`,
      `K.${blob}`,
      `k.${blob}=`,
      `k.${blob} `,
      `k..${blob}`,
      `k.3-4.${blob}`,
      `k.-1-4-1.${blob}`,
      `x.${blob}`,
      blob,
      "k.",
      "",
      "nope",
      `k.${"A".repeat(60_000)}`,
      "k.\u0000",
    ]) {
      const answer = await askFor(world, 14, OPERATION.get, named(other));
      expect(answer).toMatchObject({ ok: false, reason: RESULT_REASON.itemNotFound });
    }
    expect(world.defects).toEqual([]);
  });

  test("opens natively only for who can give what it is bound to, which no other door can", async () => {
    const world = makeWorld();
    const { blob, object } = readIdentifier(await made(world, 14));
    const { operations } = world.parts;
    const native = { ...CALLER, door: "native" };
    expect(() => operations.open(native, { wrapped: blob })).toThrow(OperationError);
    expect(() => operations.open(native, { wrapped: blob, context: contextOf(object) })).toThrow(OperationError);
    expect(() => operations.open(CALLER, { wrapped: blob, context: contextOf(object) })).not.toThrow();
  });
});

describe("Get", () => {
  test("gives a key raw or opaque, and nothing wrapped, compressed or in another format", async () => {
    const world = makeWorld();
    const identifier = await made(world, 14);
    const get = (more: Write): Promise<Answer> => askFor(world, 14, OPERATION.get, named(identifier, more));
    const opaque = await get((writer) => writer.enumeration(TAG.keyFormatType, 2));
    expect(unsignedOf(field(opaque.payload, TAG.symmetricKey, TAG.keyBlock, TAG.keyFormatType)!)).toBe(2);
    expect(await get((writer) => writer.enumeration(TAG.keyFormatType, 7))).toMatchObject({ ok: false, reason: 16 });
    const wrapped = await get((writer) => writer.structure(TAG.keyWrappingSpecification, () => undefined));
    expect(wrapped).toMatchObject({ ok: false, reason: RESULT_REASON.featureNotSupported, payload: undefined });
    expect((await get((writer) => writer.enumeration(TAG.keyCompressionType, 1))).ok).toBe(false);
    // Not Wrapped, As Registered: both are what is given.
    for (const [wrapType, ok] of [
      [1, true],
      [2, true],
      [3, false],
    ] as const) {
      expect((await get((writer) => writer.enumeration(TAG.keyWrapType, wrapType))).ok).toBe(ok);
    }
  });
});

test("whatever the operation, a field too many is refused", async () => {
  const world = makeWorld();
  const key = await made(world, 14);
  const extra: Write = (writer) => writer.integer(0x4200ee, 1);
  const iv = new Uint8Array(16);
  const payloads: readonly (readonly [number, Write])[] = [
    [OPERATION.create, create(14).payload!],
    [OPERATION.register, registerSecret(14, SEED).payload!],
    [OPERATION.register, registerKey(14, KEY).payload!],
    [OPERATION.get, named(key)],
    [OPERATION.activate, named(key)],
    [OPERATION.getAttributes, named(key)],
    [OPERATION.getAttributeList, named(key)],
    [OPERATION.encrypt, named(key, all(CBC, data("x")))],
    [OPERATION.decrypt, named(key, all(CBC, data(iv, iv)))],
    [OPERATION.query, () => undefined],
    [OPERATION.discoverVersions, () => undefined],
  ];
  for (const [operation, payload] of payloads) {
    const answer = await askFor(world, 14, operation, all(payload, extra));
    expect(answer).toMatchObject({ operation, ok: false, reason: RESULT_REASON.invalidField, payload: undefined });
  }
});

describe("Encrypt and Decrypt", () => {
  async function keyOf(world: World, identifier: string): Promise<Uint8Array> {
    return materialOf(await askFor(world, 14, OPERATION.get, named(identifier)), TAG.symmetricKey);
  }

  test("CBC with PKCS5 is OpenSSL's, with a random IV that is told", async () => {
    const world = makeWorld();
    const identifier = await made(world, 14);
    const { payload } = await askFor(world, 14, OPERATION.encrypt, named(identifier, all(CBC, data("hello"))));
    const [encrypted, iv] = [field(payload, TAG.data)!.value, field(payload, TAG.ivCounterNonce)!.value];
    const decipher = createDecipheriv("aes-256-cbc", await keyOf(world, identifier), iv);
    expect(Buffer.concat([decipher.update(encrypted), decipher.final()]).toString()).toBe("hello");
    const back = await askFor(world, 14, OPERATION.decrypt, named(identifier, all(CBC, data(encrypted, iv))));
    expect(Buffer.from(field(back.payload, TAG.data)!.value).toString()).toBe("hello");
  });

  test("CBC under an IV that is given is OpenSSL's too, and the IV is not told again", async () => {
    const world = makeWorld();
    const identifier = await made(world, 14, 192);
    const iv = new Uint8Array(16).fill(1);
    const { payload } = await askFor(world, 14, OPERATION.encrypt, named(identifier, all(CBC, data("hello", iv))));
    const cipher = createCipheriv("aes-192-cbc", await keyOf(world, identifier), iv);
    expect(Buffer.from(field(payload, TAG.data)!.value)).toEqual(
      Buffer.concat([cipher.update("hello"), cipher.final()]),
    );
    expect(field(payload, TAG.ivCounterNonce)).toBeUndefined();
  });

  test("GCM has its tag apart, and binds the additional data", async () => {
    const world = makeWorld();
    const identifier = await made(world, 14);
    const aad =
      (text: string): Write =>
      (writer) =>
        writer.byteString(TAG.authenticatedEncryptionAdditionalData, Buffer.from(text));
    const { payload } = await askFor(
      world,
      14,
      OPERATION.encrypt,
      named(identifier, all(GCM, data("hello"), aad("a"))),
    );
    const part = (tag: number): Uint8Array => field(payload, tag)!.value;
    const tag = part(TAG.authenticatedEncryptionTag);
    expect(tag).toHaveLength(16);
    expect(part(TAG.ivCounterNonce)).toHaveLength(12);
    const open = (text: string, proof: Uint8Array): Promise<Answer> =>
      askFor(
        world,
        14,
        OPERATION.decrypt,
        named(
          identifier,
          all(GCM, data(part(TAG.data), part(TAG.ivCounterNonce)), aad(text), (writer) =>
            writer.byteString(TAG.authenticatedEncryptionTag, proof),
          ),
        ),
      );
    expect(Buffer.from(field((await open("a", tag)).payload, TAG.data)!.value).toString()).toBe("hello");
    expect(await open("b", tag)).toMatchObject({ ok: false, reason: RESULT_REASON.cryptographicFailure });
    expect(
      await open(
        "a",
        tag.map((byte) => byte ^ 1),
      ),
    ).toMatchObject({
      ok: false,
      reason: RESULT_REASON.cryptographicFailure,
    });
    expect(await open("a", tag.subarray(0, 12))).toMatchObject({ ok: false, reason: RESULT_REASON.invalidField });
  });

  test.each<[string, Write, number]>([
    ["ECB", all(parameters(2, 3), data("x")), RESULT_REASON.featureNotSupported],
    ["CTR", all(parameters(6), data("x")), RESULT_REASON.featureNotSupported],
    ["CBC without padding", all(parameters(1), data("x")), RESULT_REASON.featureNotSupported],
    ["CBC with another padding", all(parameters(1, 1), data("x")), RESULT_REASON.featureNotSupported],
    [
      "another algorithm",
      all(
        parameters(1, 3, (w) => w.enumeration(TAG.cryptographicAlgorithm, 2)),
        data("x"),
      ),
      RESULT_REASON.featureNotSupported,
    ],
    [
      "a short tag",
      all(
        parameters(9, undefined, (w) => w.integer(TAG.tagLength, 4)),
        data("x"),
      ),
      RESULT_REASON.featureNotSupported,
    ],
    ["no parameters", data("x"), RESULT_REASON.missingData],
    ["no data", CBC, RESULT_REASON.missingData],
    ["an IV of another length", all(CBC, data("x", new Uint8Array(12))), RESULT_REASON.invalidField],
    ["a nonce of another length", all(GCM, data("x", new Uint8Array(16))), RESULT_REASON.invalidField],
    [
      "parts of a stream",
      all(CBC, data("x"), (w) => w.byteString(TAG.correlationValue, KEY)),
      RESULT_REASON.featureNotSupported,
    ],
    [
      "additional data with CBC",
      all(CBC, data("x"), (w) => w.byteString(TAG.authenticatedEncryptionAdditionalData, KEY)),
      RESULT_REASON.invalidField,
    ],
  ])("Encrypt refuses %s", async (_name, write, reason) => {
    const world = makeWorld();
    const answer = await askFor(world, 14, OPERATION.encrypt, named(await made(world, 14), write));
    expect(answer).toMatchObject({ ok: false, reason, payload: undefined });
  });

  test("Decrypt with CBC takes neither additional data nor a tag", async () => {
    const world = makeWorld();
    const identifier = await made(world, 14);
    const iv = new Uint8Array(16);
    for (const tag of [TAG.authenticatedEncryptionAdditionalData, TAG.authenticatedEncryptionTag]) {
      const write = all(CBC, data(iv, iv), (writer) => writer.byteString(tag, iv));
      expect(await askFor(world, 14, OPERATION.decrypt, named(identifier, write))).toMatchObject({
        ok: false,
        reason: RESULT_REASON.invalidField,
      });
    }
  });

  test("hold to the usage mask and the kind of object", async () => {
    const world = makeWorld();
    const onlyEncrypt = await made(world, 14, 256, 4);
    expect((await askFor(world, 14, OPERATION.encrypt, named(onlyEncrypt, all(CBC, data("x"))))).ok).toBe(true);
    expect(
      await askFor(
        world,
        14,
        OPERATION.decrypt,
        named(onlyEncrypt, all(CBC, data(new Uint8Array(16), new Uint8Array(16)))),
      ),
    ).toMatchObject({ ok: false, reason: RESULT_REASON.permissionDenied });
    const secret = await registered(world, 14);
    expect(await askFor(world, 14, OPERATION.encrypt, named(secret, all(CBC, data("x"))))).toMatchObject({
      ok: false,
      reason: RESULT_REASON.invalidField,
    });
    const short = await registered(world, 14, registerKey(14, new Uint8Array(20), { algorithm: 3 }));
    expect(await askFor(world, 14, OPERATION.encrypt, named(short, all(CBC, data("x"))))).toMatchObject({
      ok: false,
      reason: RESULT_REASON.invalidField,
    });
  });
});

describe("an error of the edge", () => {
  const answerTo = async (code: ErrorCode, operation: number, denied = false): Promise<Answer> => {
    const world = makeWorld();
    const identifier = await made(world, 14);
    const error = new OperationError(code, `It is ${code}.`);
    if (denied) world.denial = error;
    else world.trouble = error;
    if (operation === OPERATION.create) return (await ask(world, message(14, [create(14)]))).answers[0]!;
    const more = operation === OPERATION.encrypt ? all(CBC, data("x")) : undefined;
    return askFor(world, 14, operation, named(identifier, more));
  };
  const USES = [
    OPERATION.create,
    OPERATION.get,
    OPERATION.activate,
    OPERATION.getAttributes,
    OPERATION.getAttributeList,
    OPERATION.encrypt,
  ];

  test.each(["lease_unavailable", "rate_limited"] as const)(
    "%s is a General Failure everywhere, never Item Not Found or a state",
    async (code) => {
      for (const operation of USES) {
        expect(await answerTo(code, operation)).toMatchObject({
          ok: false,
          reason: RESULT_REASON.generalFailure,
          message: `It is ${code}.`,
          payload: undefined,
        });
      }
    },
  );

  test("access_denied is Permission Denied everywhere, state included", async () => {
    for (const operation of USES) {
      expect(await answerTo("access_denied", operation, true)).toMatchObject({
        ok: false,
        reason: RESULT_REASON.permissionDenied,
      });
    }
  });

  test("key_not_found is Item Not Found", async () => {
    expect(await answerTo("key_not_found", OPERATION.get)).toMatchObject({ reason: RESULT_REASON.itemNotFound });
  });

  test("key_revoked makes the State Compromised for who polls it, and refuses all use", async () => {
    expect(attributesOf(await answerTo("key_revoked", OPERATION.getAttributes), 14)).toMatchObject({ State: 4 });
    for (const operation of [OPERATION.create, OPERATION.get, OPERATION.activate, OPERATION.encrypt]) {
      expect(await answerTo("key_revoked", operation)).toMatchObject({
        ok: false,
        reason: RESULT_REASON.permissionDenied,
        payload: undefined,
      });
    }
  });

  test("a defect is logged, and told as General Failure without its words", async () => {
    const world = makeWorld();
    const identifier = await made(world, 14);
    world.trouble = new Error("of the inside") as OperationError;
    const answer = await askFor(world, 14, OPERATION.get, named(identifier));
    expect(answer).toMatchObject({ ok: false, reason: RESULT_REASON.generalFailure });
    expect(answer.message).not.toContain("inside");
    expect(world.defects).toHaveLength(1);
  });
});

describe("Revoke with forward: core", () => {
  const revokeBy =
    (code: number, text = "lost"): Write =>
    (writer) =>
      writer.structure(TAG.revocationReason, () => {
        writer.enumeration(TAG.revocationReasonCode, code);
        writer.text(TAG.revocationMessage, text);
      });

  function forwarding(allowed = true, failure?: Error) {
    const revoked: unknown[] = [];
    const world = makeWorld({
      revokeService: {
        allows: () => allowed,
        async revoke(version, reason) {
          if (failure !== undefined) throw failure;
          revoked.push({ ...version, reason });
        },
      },
    });
    return { world, revoked };
  }

  test("revokes the version of the object's service key at the Core, for the reason Key Compromise", async () => {
    const { world, revoked } = forwarding();
    const identifier = await made(world, 14);
    const answer = await askFor(world, 14, OPERATION.revoke, named(identifier, revokeBy(2, "lo\u001b[2Jst")));
    expect(identifierOf(answer)).toBe(identifier);
    expect(revoked).toEqual([
      { tenant: "tenant-a", service: "billing", version: 3, reason: "KMIP Revoke by dns:db.example: lo [2Jst" },
    ]);
    expect(parseBlob(readIdentifier(identifier).blob).version).toBe(3);
  });

  test("refuses other reasons, other principals, objects that don't open, and never says that it has revoked when it has not", async () => {
    const { world, revoked } = forwarding();
    const identifier = await made(world, 14);
    for (const code of [1, 3, 4, 5, 6, 7]) {
      expect(await askFor(world, 14, OPERATION.revoke, named(identifier, revokeBy(code)))).toMatchObject({
        ok: false,
        reason: RESULT_REASON.operationNotSupported,
      });
    }
    const { object, blob } = readIdentifier(identifier);
    blob[blob.length - 1]! ^= 1;
    expect(await askFor(world, 14, OPERATION.revoke, named(writeIdentifier(object, blob), revokeBy(2)))).toMatchObject({
      ok: false,
      reason: RESULT_REASON.itemNotFound,
    });
    world.denial = new OperationError("access_denied", "no");
    expect((await askFor(world, 14, OPERATION.revoke, named(identifier, revokeBy(2)))).ok).toBe(false);
    expect(revoked).toEqual([]);

    const others = forwarding(false);
    const theirs = await made(others.world, 14);
    expect(await askFor(others.world, 14, OPERATION.revoke, named(theirs, revokeBy(2)))).toMatchObject({
      ok: false,
      reason: RESULT_REASON.permissionDenied,
    });
    expect(others.revoked).toEqual([]);

    const failing = forwarding(true, new Error("the Core is away"));
    const kept = await made(failing.world, 14);
    expect((await askFor(failing.world, 14, OPERATION.revoke, named(kept, revokeBy(2)))).ok).toBe(false);
  });

  test("is done already where the version is revoked", async () => {
    const { world, revoked } = forwarding();
    const identifier = await made(world, 14);
    world.trouble = new OperationError("key_revoked", "It is revoked.");
    expect((await askFor(world, 14, OPERATION.revoke, named(identifier, revokeBy(2)))).ok).toBe(true);
    expect(revoked).toEqual([]);
  });
});
