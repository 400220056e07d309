/** The messages of Kubernetes' KMS plugin API, against another implementation of protocol buffers (protobufjs). */
import { describe, expect, test } from "bun:test";
import protobuf from "protobufjs";
import {
  MalformedMessage,
  readDecryptRequest,
  readEncryptRequest,
  readStatusRequest,
  writeDecryptResponse,
  writeEncryptResponse,
  writeStatusResponse,
} from "../../../../src/edge/doors/kubernetes-kms/messages.ts";
import { fc } from "../../../support/properties.ts";

/** k8s.io/kms/apis/v2/api.proto */
const API = protobuf.parse(
  `syntax = "proto3"; package v2;
   message StatusRequest {}
   message StatusResponse { string version = 1; string healthz = 2; string key_id = 3; }
   message DecryptRequest { bytes ciphertext = 1; string uid = 2; string key_id = 3; map<string, bytes> annotations = 4; }
   message DecryptResponse { bytes plaintext = 1; }
   message EncryptRequest { bytes plaintext = 1; string uid = 2; }
   message EncryptResponse { bytes ciphertext = 1; string key_id = 2; map<string, bytes> annotations = 3; }`,
  { keepCase: true },
).root;
const type = (name: string): protobuf.Type => API.lookupType(`v2.${name}`);
const encode = (name: string, value: object): Uint8Array => type(name).encode(value).finish();
const decode = (name: string, bytes: Uint8Array): unknown =>
  type(name).toObject(type(name).decode(bytes), { defaults: true, bytes: Array });

const bytes = fc.uint8Array({ maxLength: 400 });
const text = fc.string({ unit: "grapheme", maxLength: 300 });
const RUNS = { numRuns: 1_000, seed: 18 };

describe("requests", () => {
  test("are read as another implementation has written them", () => {
    fc.assert(
      fc.property(fc.record({ ciphertext: bytes, uid: text, key_id: text, annotation: bytes }), (given) => {
        const { ciphertext, uid, key_id, annotation } = given;
        const message = encode("DecryptRequest", { ciphertext, uid, key_id, annotations: { "a.example": annotation } });
        const read = readDecryptRequest(message);
        expect([[...read.ciphertext], read.uid, read.keyId]).toEqual([[...ciphertext], uid, key_id]);
      }),
      RUNS,
    );
    fc.assert(
      fc.property(fc.record({ plaintext: bytes, uid: text }), ({ plaintext, uid }) => {
        const read = readEncryptRequest(encode("EncryptRequest", { plaintext, uid }));
        expect([[...read.plaintext], read.uid]).toEqual([[...plaintext], uid]);
      }),
      RUNS,
    );
  });

  test("may have fields of a later version, of every kind, and the last of one counts", () => {
    const later = protobuf
      .parse(
        `syntax = "proto3"; package v9;
       message EncryptRequest { bytes plaintext = 1; string uid = 2; uint64 a = 90; fixed64 b = 91; float c = 92; repeated int32 d = 93; string e = 536870911; }`,
      )
      .root.lookupType("v9.EncryptRequest");
    const message = later.encode({ plaintext: [1], uid: "u", a: 2 ** 53, b: 1, c: 1, d: [1, -1], e: "e" }).finish();
    const twice = Buffer.concat([encode("EncryptRequest", { plaintext: [9, 9], uid: "first" }), message]);
    expect(readEncryptRequest(twice)).toEqual({ plaintext: new Uint8Array([1]), uid: "u" });
    expect(readStatusRequest(message)).toBeUndefined();
  });

  test("are read or refused as malformed, whatever the bytes are", () => {
    const piece = fc.uint8Array({ minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), fc.boolean(), (pieces, whole) => {
        const start = whole
          ? encode("DecryptRequest", { ciphertext: [1, 2, 3], uid: "u", key_id: "k" })
          : new Uint8Array(0);
        const message = Buffer.concat([start, ...pieces]);
        for (const read of [readDecryptRequest, readEncryptRequest, readStatusRequest]) {
          try {
            read(message);
          } catch (error) {
            expect(error).toBeInstanceOf(MalformedMessage);
          }
        }
      }),
      { numRuns: 5_000, seed: 18 },
    );
  });

  test("that are cut, or lie about a length, are malformed", () => {
    const message = encode("DecryptRequest", { ciphertext: new Uint8Array(200), uid: "uid", key_id: "a/b/1" });
    for (let length = 1; length < message.length; length++) {
      const cut = message.subarray(0, length);
      // Between two fields it is a message of its own.
      if ([203, 208].includes(length)) readDecryptRequest(cut);
      else expect(() => readDecryptRequest(cut)).toThrow(MalformedMessage);
    }
    for (const hex of [
      "0a",
      "0aff",
      "0affffffff0f",
      "0affffffffffffffffff01",
      "00",
      "0b",
      "0c",
      "0e",
      "0f",
      "ffffffffffffffffffff01",
      "1201ff",
      "09",
      "0d00",
      "08",
    ]) {
      expect(() => readDecryptRequest(Buffer.from(hex, "hex"))).toThrow(MalformedMessage);
    }
  });
});

describe("answers", () => {
  test("are what another implementation reads", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70_000 }), (content) => {
        const list = [...content];
        expect(decode("DecryptResponse", writeDecryptResponse(content))).toEqual({ plaintext: list });
        expect(decode("EncryptResponse", writeEncryptResponse(content, "tenant-a/etcd/7"))).toEqual({
          ciphertext: list,
          key_id: "tenant-a/etcd/7",
          annotations: {},
        });
      }),
      { numRuns: 50, seed: 18 },
    );
    for (const length of [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152]) {
      const content = new Uint8Array(length).fill(5);
      expect(
        (decode("DecryptResponse", writeDecryptResponse(content)) as { plaintext: number[] }).plaintext.length,
      ).toBe(length);
    }
    expect(decode("StatusResponse", writeStatusResponse("a/b/1"))).toEqual({
      version: "v2",
      healthz: "ok",
      key_id: "a/b/1",
    });
  });
});
