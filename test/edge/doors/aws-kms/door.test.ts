/** The front door `aws-kms` of a whole edge: docs/door-aws-kms.md, by requests as the SDKs send them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type DoorEdge, startDoorEdge } from "../../../support/door-edge.ts";

const ACCOUNT = "111122223333";
const UUID = "1234abcd-12ab-34cd-56ef-1234567890ab";
const OTHERS_ARN = "arn:aws:kms:us-east-1:999988887777:key/legacy";
const KEY = "alias/tenant-a/billing";

let edge: DoorEdge;
beforeAll(async () => {
  edge = await startDoorEdge({
    listeners: `  - { http: "127.0.0.1:0", principal: local, doors: [native, aws-kms] }`,
    doors: `{ aws-kms: { account: "${ACCOUNT}", region: eu-central-1, keys: {
      "alias/my-app": { tenant: tenant-a, service: billing },
      "${UUID}": { tenant: tenant-u, service: main },
      "${OTHERS_ARN}": { tenant: tenant-o, service: main } } } }`,
  });
});
afterAll(() => edge.close());

type Answer = Record<string, never> & { readonly status: number; readonly headers: Headers };

async function call(operation: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const target = operation.includes(".") ? operation : `TrentService.${operation}`;
  const response = await fetch(`${edge.url}/`, {
    method: "POST",
    headers: { "content-type": "application/x-amz-json-1.1", "x-amz-target": target, ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return { ...((await response.json()) as object), status: response.status, headers: response.headers } as Answer;
}

const typeOf = async (operation: string, body: unknown): Promise<unknown> => (await call(operation, body)).__type;
const base64 = (text: string): string => Buffer.from(text).toString("base64");
const arn = (id: string, region = "eu-central-1"): string => `arn:aws:kms:${region}:${ACCOUNT}:key/${id}`;

describe("GenerateDataKey", () => {
  test("gives a data key and its ciphertext, which Decrypt opens under the same context alone", async () => {
    for (const spec of [{ KeySpec: "AES_256" }, { KeySpec: "AES_128" }, { NumberOfBytes: 64 }, { NumberOfBytes: 24 }]) {
      const context = { invoice: "4711", a: "ü" };
      const made = await call("GenerateDataKey", { KeyId: KEY, ...spec, EncryptionContext: context });
      expect(made).toMatchObject({ status: 200, KeyId: arn("tenant-a/billing") });
      const length = { AES_256: 32, AES_128: 16 }[spec.KeySpec as string] ?? spec.NumberOfBytes;
      expect(Buffer.from(made.Plaintext!, "base64").length).toBe(length as number);
      const opened = await call("Decrypt", { CiphertextBlob: made.CiphertextBlob, EncryptionContext: context });
      expect(opened).toMatchObject({
        Plaintext: made.Plaintext,
        KeyId: arn("tenant-a/billing"),
        EncryptionAlgorithm: "SYMMETRIC_DEFAULT",
      });
      const wrong = { CiphertextBlob: made.CiphertextBlob, EncryptionContext: { invoice: "4712", a: "ü" } };
      expect(await typeOf("Decrypt", wrong)).toBe("InvalidCiphertextException");
      expect(await typeOf("Decrypt", { CiphertextBlob: made.CiphertextBlob })).toBe("InvalidCiphertextException");
    }
  });

  test("WithoutPlaintext gives none", async () => {
    for (const NumberOfBytes of [16, 7]) {
      const made = await call("GenerateDataKeyWithoutPlaintext", { KeyId: KEY, NumberOfBytes });
      expect(made.Plaintext).toBeUndefined();
      const opened = await call("Decrypt", { CiphertextBlob: made.CiphertextBlob });
      expect(Buffer.from(opened.Plaintext!, "base64").length).toBe(NumberOfBytes);
    }
  });

  test("makes blobs of the native door, and opens its", async () => {
    const made = await call("GenerateDataKey", { KeyId: KEY, KeySpec: "AES_256", EncryptionContext: { a: "b" } });
    const native = async (path: string, body: object) =>
      (await (
        await fetch(`${edge.url}/v1/keys/${path}`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(body),
        })
      ).json()) as Record<string, string>;
    const wrapped = Buffer.from(made.CiphertextBlob!, "base64").toString("base64url");
    const opened = await native("decrypt", { wrapped, context: { a: "b" } });
    expect(Buffer.from(opened.plaintext!, "base64url").toString("base64")).toBe(made.Plaintext!);
    const own = await native("create", { tenant: "tenant-a", service: "billing", plaintext: true });
    const back = await call("Decrypt", { CiphertextBlob: Buffer.from(own.wrapped!, "base64url").toString("base64") });
    expect(Buffer.from(back.Plaintext!, "base64").toString("base64url")).toBe(own.plaintext!);
  });

  test("takes exactly one length, and only one that AWS has", async () => {
    for (const length of [
      {},
      { KeySpec: "AES_256", NumberOfBytes: 32 },
      { KeySpec: "AES_512" },
      { KeySpec: "toString" },
      { NumberOfBytes: 0 },
      { NumberOfBytes: 1025 },
      { NumberOfBytes: 1.5 },
      { NumberOfBytes: "32" },
    ]) {
      expect([length, await typeOf("GenerateDataKey", { KeyId: KEY, ...length })]).toEqual([
        length,
        "ValidationException",
      ]);
    }
  });
});

describe("Encrypt and Decrypt", () => {
  test("keep bytes of any length that AWS takes", async () => {
    for (const length of [1, 32, 34, 96, 4096]) {
      const Plaintext = Buffer.alloc(length, 7).toString("base64");
      const made = await call("Encrypt", { KeyId: KEY, Plaintext, EncryptionContext: {} });
      expect(made).toMatchObject({
        status: 200,
        KeyId: arn("tenant-a/billing"),
        EncryptionAlgorithm: "SYMMETRIC_DEFAULT",
      });
      expect((await call("Decrypt", { CiphertextBlob: made.CiphertextBlob, KeyId: KEY })).Plaintext).toBe(
        Plaintext as never,
      );
    }
    for (const Plaintext of ["", Buffer.alloc(4097).toString("base64"), "AAA", "AA=", "-_-_", 7, null]) {
      expect([Plaintext, await typeOf("Encrypt", { KeyId: KEY, Plaintext })]).toEqual([
        Plaintext,
        "ValidationException",
      ]);
    }
  });

  test("of another key than the one that is given is IncorrectKeyException, and AccessDenied for who may not use that one", async () => {
    const { CiphertextBlob } = await call("Encrypt", { KeyId: KEY, Plaintext: base64("x") });
    expect(await typeOf("Decrypt", { CiphertextBlob, KeyId: "tenant-b/billing" })).toBe("IncorrectKeyException");
    expect(await typeOf("Decrypt", { CiphertextBlob, KeyId: "denied/billing" })).toBe("AccessDeniedException");
    expect(await typeOf("Decrypt", { CiphertextBlob, KeyId: "nosuch/billing" })).toBe("NotFoundException");
  });

  test("of rubbish is InvalidCiphertextException, whatever key is given", async () => {
    for (const KeyId of [undefined, KEY, "denied/billing"]) {
      expect(await typeOf("Decrypt", { CiphertextBlob: base64("xx"), KeyId })).toBe("InvalidCiphertextException");
    }
    expect(await typeOf("Decrypt", { CiphertextBlob: base64("x".repeat(6145)) })).toBe("ValidationException");
    expect(await typeOf("Decrypt", {})).toBe("ValidationException");
  });

  test("refuse a context that is none, that is too long, or that has another door's names", async () => {
    const many = Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`k${index}`, "v"]));
    for (const EncryptionContext of [
      [],
      "x",
      7,
      { a: 1 },
      { a: null },
      { "": "x" },
      many,
      { a: "x".repeat(9_000) },
      { "vault:context": "x" },
      { "kes:context": "x" },
    ]) {
      const body = { KeyId: KEY, Plaintext: base64("x"), EncryptionContext };
      expect([EncryptionContext, await typeOf("Encrypt", body)]).toEqual([EncryptionContext, "ValidationException"]);
    }
  });
});

describe("ReEncrypt", () => {
  test("wraps again under the active version, without showing anything, where key and context stay", async () => {
    const context = { a: "b" };
    const old = await call("GenerateDataKey", { KeyId: KEY, KeySpec: "AES_256", EncryptionContext: context });
    edge.activeVersion = 3;
    const body = {
      CiphertextBlob: old.CiphertextBlob,
      SourceEncryptionContext: context,
      DestinationEncryptionContext: context,
      DestinationKeyId: KEY,
      SourceKeyId: KEY,
    };
    const made = await call("ReEncrypt", body);
    expect(made).toMatchObject({
      status: 200,
      KeyId: arn("tenant-a/billing"),
      SourceKeyId: arn("tenant-a/billing"),
      SourceEncryptionAlgorithm: "SYMMETRIC_DEFAULT",
      DestinationEncryptionAlgorithm: "SYMMETRIC_DEFAULT",
    });
    const opened = await call("Decrypt", { CiphertextBlob: made.CiphertextBlob, EncryptionContext: context });
    expect(opened.Plaintext).toBe(old.Plaintext!);
    expect(Buffer.from(made.CiphertextBlob!, "base64")[3]).toBe(1);
  });

  test("goes to another context and to another key", async () => {
    const old = await call("Encrypt", { KeyId: KEY, Plaintext: base64("value"), EncryptionContext: { a: "b" } });
    const made = await call("ReEncrypt", {
      CiphertextBlob: old.CiphertextBlob,
      SourceEncryptionContext: { a: "b" },
      DestinationKeyId: "tenant-b/other",
      DestinationEncryptionContext: { c: "d" },
    });
    expect(made).toMatchObject({ KeyId: arn("tenant-b/other"), SourceKeyId: arn("tenant-a/billing") });
    expect(await call("Decrypt", { CiphertextBlob: made.CiphertextBlob, EncryptionContext: { c: "d" } })).toMatchObject(
      { Plaintext: base64("value"), KeyId: arn("tenant-b/other") },
    );
    const denied = {
      CiphertextBlob: old.CiphertextBlob,
      SourceEncryptionContext: { a: "b" },
      DestinationKeyId: "denied/x",
    };
    expect(await typeOf("ReEncrypt", denied)).toBe("AccessDeniedException");
    expect(await typeOf("ReEncrypt", { ...denied, DestinationKeyId: KEY, SourceEncryptionContext: {} })).toBe(
      "InvalidCiphertextException",
    );
    expect(await typeOf("ReEncrypt", { ...denied, DestinationKeyId: KEY, SourceKeyId: "tenant-b/other" })).toBe(
      "IncorrectKeyException",
    );
    expect(await typeOf("ReEncrypt", { CiphertextBlob: base64("xx"), DestinationKeyId: KEY })).toBe(
      "InvalidCiphertextException",
    );
  });
});

describe("keys", () => {
  test("are named by TENANT/SERVICE, by alias, by ARN, or as the table says; answers have the one key ARN", async () => {
    const named: [given: string, answered: string][] = [
      ["tenant-a/billing", arn("tenant-a/billing")],
      ["alias/tenant-a/billing", arn("tenant-a/billing")],
      [`arn:aws:kms:us-west-2:${ACCOUNT}:key/tenant-a/billing`, arn("tenant-a/billing", "us-west-2")],
      [
        `arn:aws-cn:kms:cn-north-1:${ACCOUNT}:alias/tenant-a/billing`,
        `arn:aws-cn:kms:cn-north-1:${ACCOUNT}:key/tenant-a/billing`,
      ],
      ["alias/my-app", arn("tenant-a/billing")],
      [`arn:aws:kms:us-west-2:${ACCOUNT}:alias/my-app`, arn("tenant-a/billing", "us-west-2")],
      [UUID, arn(UUID)],
      [`arn:aws:kms:us-west-2:${ACCOUNT}:key/${UUID}`, arn(UUID, "us-west-2")],
      ["tenant-u/main", arn(UUID)],
      [OTHERS_ARN, OTHERS_ARN],
      ["tenant-a/with:colon.and_more", arn("tenant-a/with:colon.and_more")],
    ];
    for (const [KeyId, answered] of named) {
      const made = await call("GenerateDataKey", { KeyId, KeySpec: "AES_256" });
      expect([KeyId, made.KeyId as unknown]).toEqual([KeyId, answered]);
      const opened = await call("Decrypt", { CiphertextBlob: made.CiphertextBlob, KeyId: made.KeyId });
      expect([KeyId, opened.KeyId as unknown, opened.Plaintext]).toEqual([KeyId, answered, made.Plaintext]);
    }
  });

  test("take the region of the signature's scope where they name none", async () => {
    const authorization =
      "AWS4-HMAC-SHA256 Credential=AKID/20261127/ap-south-1/kms/aws4_request, SignedHeaders=host, Signature=00";
    const made = await call("GenerateDataKey", { KeyId: KEY, KeySpec: "AES_256" }, { authorization });
    expect(made.KeyId as unknown).toBe(arn("tenant-a/billing", "ap-south-1"));
  });

  test("of another account, or that nothing names, are NotFoundException when encrypting already", async () => {
    for (const KeyId of [
      "arn:aws:kms:eu-central-1:000000000000:key/tenant-a/billing",
      "alias/other",
      "a/b/c",
      "tenant-a/",
      "/billing",
      "mrk-1/billing",
      "9999abcd-12ab-34cd-56ef-1234567890ab",
      "nosuch/x",
      "a b/c",
      "\u0000/\u0000",
    ]) {
      expect([KeyId, await typeOf("GenerateDataKey", { KeyId, KeySpec: "AES_256" })]).toEqual([
        KeyId,
        "NotFoundException",
      ]);
    }
    for (const KeyId of ["arn:aws:kms:eu:key/x", "arn:", `arn:aws:s3:eu-central-1:${ACCOUNT}:key/tenant-a/billing`]) {
      expect([KeyId, await typeOf("GenerateDataKey", { KeyId, KeySpec: "AES_256" })]).toEqual([
        KeyId,
        "InvalidArnException",
      ]);
    }
    for (const KeyId of [undefined, null, 7, "", "x".repeat(3000)]) {
      expect([KeyId, await typeOf("GenerateDataKey", { KeyId, KeySpec: "AES_256" })]).toEqual([
        KeyId,
        "ValidationException",
      ]);
    }
  });

  test("are described with both their names, which are taken back", async () => {
    const { KeyMetadata } = (await call("DescribeKey", { KeyId: KEY })) as unknown as {
      KeyMetadata: Record<string, unknown>;
    };
    expect(KeyMetadata).toMatchObject({
      KeyId: "tenant-a/billing",
      Arn: arn("tenant-a/billing"),
      AWSAccountId: ACCOUNT,
      Enabled: true,
      KeyState: "Enabled",
      KeyUsage: "ENCRYPT_DECRYPT",
      KeySpec: "SYMMETRIC_DEFAULT",
      CustomerMasterKeySpec: "SYMMETRIC_DEFAULT",
      KeyManager: "CUSTOMER",
      EncryptionAlgorithms: ["SYMMETRIC_DEFAULT"],
      MultiRegion: false,
    });
    expect((await call("GenerateDataKey", { KeyId: KeyMetadata.KeyId, KeySpec: "AES_256" })).status).toBe(200);
    expect((await call("DescribeKey", { KeyId: "revoked/billing" })) as unknown).toMatchObject({
      KeyMetadata: { Enabled: false, KeyState: "Disabled" },
    });
    expect(await typeOf("DescribeKey", { KeyId: "alias/nosuch/x" })).toBe("NotFoundException");
    expect(await typeOf("DescribeKey", { KeyId: "denied/x" })).toBe("AccessDeniedException");
  });
});

describe("errors", () => {
  test("have AWS's type, status and, where asking again helps, both headers", async () => {
    const body = (tenant: string) => ({ KeyId: `${tenant}/billing`, KeySpec: "AES_256" });
    expect(await call("GenerateDataKey", body("denied"))).toMatchObject({
      status: 400,
      __type: "AccessDeniedException",
    });
    expect(await call("GenerateDataKey", body("nosuch"))).toMatchObject({ status: 400, __type: "NotFoundException" });
    expect(await call("GenerateDataKey", body("revoked"))).toMatchObject({ status: 400, __type: "DisabledException" });
    const away = await call("GenerateDataKey", body("away"));
    expect(away).toMatchObject({ status: 500, __type: "KeyUnavailableException" });
    expect(Number(away.headers.get("x-amz-retry-after"))).toBeGreaterThan(0);
    expect(Number(away.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(away.headers.get("x-amzn-requestid")).toMatch(/^[0-9a-f]{16}$/);
    expect(await call("DescribeKey", body("away"))).toMatchObject({
      status: 503,
      __type: "DependencyTimeoutException",
    });
    expect((await call("GenerateDataKey", body("denied"))).headers.get("x-amz-retry-after")).toBeNull();
  });

  test("are UnsupportedOperation for what AWS has and this door has not, UnknownOperation for the rest", async () => {
    for (const operation of ["CreateKey", "Sign", "ListKeys", "ListAliases", "GenerateRandom", "ScheduleKeyDeletion"]) {
      expect(await typeOf(operation, {})).toBe("UnsupportedOperationException");
    }
    for (const operation of ["Nothing", "Other.Decrypt", "toString", "__proto__", "."]) {
      expect(await typeOf(operation, {})).toBe("UnknownOperationException");
    }
    const response = await fetch(`${edge.url}/`, { method: "POST", body: "{}" });
    expect(await response.json()).toMatchObject({ __type: "UnknownOperationException" });
    for (const body of ["", "null", "[]", "{", '"x"', "7"]) {
      expect([body, await typeOf("Decrypt", body)]).toEqual([body, "SerializationException"]);
    }
  });

  test("are given for members that must not be ignored, and for no other", async () => {
    const made = { KeyId: KEY, KeySpec: "AES_256" };
    expect(await typeOf("GenerateDataKey", { ...made, Recipient: { AttestationDocument: "AA==" } })).toBe(
      "UnsupportedOperationException",
    );
    expect(await typeOf("GenerateDataKey", { ...made, DryRun: true })).toBe("DryRunOperationException");
    expect(await typeOf("GenerateDataKey", { ...made, GrantTokens: ["x"] })).toBe("InvalidGrantTokenException");
    expect(await typeOf("Encrypt", { KeyId: KEY, Plaintext: "AA==", EncryptionAlgorithm: "RSAES_OAEP_SHA_256" })).toBe(
      "InvalidKeyUsageException",
    );
    const ignored = { ...made, DryRun: false, GrantTokens: [], Recipient: null, SomethingNew: { a: 1 } };
    expect((await call("GenerateDataKey", ignored)).status).toBe(200);
  });

  test("of other methods and of bodies that are too long are AWS's too", async () => {
    const get = await fetch(`${edge.url}/`);
    expect([get.status, get.headers.get("allow")]).toEqual([405, "POST"]);
    expect(await get.json()).toMatchObject({ __type: "UnknownOperationException" });
    expect(await call("Encrypt", { KeyId: KEY, Plaintext: "A".repeat(200_000) })).toMatchObject({
      status: 413,
      __type: "RequestEntityTooLargeException",
    });
  });
});
