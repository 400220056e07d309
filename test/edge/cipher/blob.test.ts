/** What the parser takes, and what it says of all else. */
import { describe, expect, test } from "bun:test";
import {
  BLOB_LENGTH_MAX,
  encodeIdentity,
  parseBlob,
  type Suite,
  VALUE_BLOB_LENGTH_MAX,
  VALUE_LENGTH_MAX,
} from "../../../src/edge/cipher/blob.ts";
import { errorOf } from "../../support/error-of.ts";

const COMMITTED = 16 + 12 + 32;

function blobOf(tenant: string, service: string, length: number, suite: Suite = 1, version = 1): Uint8Array {
  const identity = encodeIdentity({ tenant, service, version }, suite);
  const blob = new Uint8Array(identity.length + COMMITTED + length + 16);
  blob.set(identity);
  return blob;
}

const LONG = "n".repeat(128);

test("the longest blobs have the lengths of blob-format.md", () => {
  expect(blobOf(LONG, LONG, 64)).toHaveLength(BLOB_LENGTH_MAX);
  expect(BLOB_LENGTH_MAX).toBe(406);
  expect(blobOf(LONG, LONG, 65_536, 2)).toHaveLength(VALUE_BLOB_LENGTH_MAX);
  expect([VALUE_LENGTH_MAX, VALUE_BLOB_LENGTH_MAX]).toEqual([65_536, 65_878]);
});

describe("a blob is read", () => {
  test.each([
    ["t", "s", 16, 1, 1],
    ["t", "s", 1, 2, 1],
    [LONG, LONG, 64, 1, 0xffff_ffff],
    [LONG, LONG, 65_536, 2, 0x0102_0304],
    ["A-z.0_9:", "9a", 32, 1, 0x8000_0000],
  ] as const)("with names %s and %s, %d bytes, suite %d, version %d", (tenant, service, length, suite, version) => {
    const bytes = blobOf(tenant, service, length, suite, version);
    const saltOffset = 10 + tenant.length + service.length;
    const read = { tenant, service, version, suite, bytes, saltOffset };
    const places = {
      nonceOffset: saltOffset + 16,
      commitmentOffset: saltOffset + 28,
      ciphertextOffset: saltOffset + 60,
    };
    expect(parseBlob(bytes)).toEqual({ ...read, ...places, tagOffset: bytes.length - 16 });
    expect(parseBlob(bytes, suite).bytes).toBe(bytes);
    const other = suite === 1 ? "not an encrypted value" : "not a wrapped data key";
    expect(errorOf(() => parseBlob(bytes, suite === 1 ? 2 : 1)).message).toContain(other);
  });

  test("without Buffers as well, where clients run", () => {
    const script = [
      "delete globalThis.Buffer;",
      `const { parseBlob, encodeIdentity } = await import("${new URL("../../../src/edge/cipher/blob.ts", import.meta.url).pathname}");`,
      "const identity = encodeIdentity({ tenant: 'tenant-a', service: 'billing', version: 3 });",
      "const blob = new Uint8Array(identity.length + 108);",
      "blob.set(identity);",
      "const { tenant, service } = parseBlob(blob);",
      "console.log(tenant, service);",
    ];
    const { stdout } = Bun.spawnSync([process.execPath, "-e", script.join("\n")]);
    expect(stdout.toString()).toBe("tenant-a billing\n");
  });
});

describe("what is no blob is refused, with the reason", () => {
  const changed = (at: number, byte: number, blob = blobOf("tenant-a", "billing", 32)): Uint8Array => {
    blob[at] = byte;
    return blob;
  };
  const cases: readonly (readonly [what: string, bytes: Uint8Array, says: string])[] = [
    ["nothing", new Uint8Array(0), "it is too short"],
    ["a byte less than the shortest has", blobOf("t", "s", 1, 2).slice(0, 88), "it is too short"],
    ["another first byte", changed(0, 0x4d), "does not start with the bytes 4C 34"],
    ["another second byte", changed(1, 0x35), "does not start with the bytes 4C 34"],
    ["another format", changed(2, 2), "its format is unknown"],
    ["suite 0", changed(3, 0), "its suite is unknown"],
    ["suite 3", changed(3, 3), "its suite is unknown"],
    ["version 0", blobOf("tenant-a", "billing", 32, 1, 0), "its key version is 0"],
    ["no tenant", changed(8, 0), "its tenant is not 1 to 128 bytes long"],
    ["a tenant too long", blobOf(`${LONG}n`, "s", 32), "its tenant is not 1 to 128 bytes long"],
    ["no service", changed(17, 0), "its service is not 1 to 128 bytes long"],
    ["a service too long", blobOf("t", `${LONG}n`, 32), "its service is not 1 to 128 bytes long"],
    ["a tenant behind the end", changed(8, 127), "it ends inside its tenant"],
    ["a service behind the end", changed(17, 128), "it ends inside its service"],
    [
      "a tenant that ends with it",
      blobOf("t".repeat(80), "s", 32).slice(0, 89),
      "its service is not 1 to 128 bytes long",
    ],
    ["a space in the tenant", changed(12, 0x20), "its tenant has a character that is not allowed"],
    ["a slash in the service", changed(20, 0x2f), "its service has a character that is not allowed"],
    ["an umlaut in the service", changed(24, 0xe4), "its service has a character that is not allowed"],
    ["a dot before the tenant", changed(9, 0x2e), "its tenant does not start with a letter or digit"],
    ["a dash before the service", changed(18, 0x2d), "its service does not start with a letter or digit"],
    ["a data key of 31 bytes", blobOf("tenant-a", "billing", 31), "its length is not what its fields add up to"],
    ["a data key of 33 bytes", blobOf("tenant-a", "billing", 33), "its length is not what its fields add up to"],
    ["no value", blobOf("tenant-a", "billing", 0, 2), "its length is not what its fields add up to"],
    ["a value too long", blobOf("tenant-a", "billing", 65_537, 2), "its length is not what its fields add up to"],
    [
      "no room for a tag",
      blobOf("tenant-a", "billing", 32, 2).slice(0, 93),
      "its length is not what its fields add up to",
    ],
  ];
  test.each(cases)("%s", (_, bytes, says) => {
    const { code, message } = errorOf(() => parseBlob(bytes));
    expect(code).toBe("invalid_blob");
    expect(message).toStartWith("This is not a wrapped key or value: ");
    expect(message).toContain(says);
  });
});
