/**
 * The blob, format 1: a wrapped data key (suite 1) or an encrypted value (suite 2). Its layout and nothing else; no key is
 * touched here. Sections refer to docs/blob-format.md, which this file follows in order.
 */
import { OperationError } from "../../base/errors.ts";

/** "Layout": magic `L4`, format 1. */
const MAGIC_0 = 0x4c;
const MAGIC_1 = 0x34;
const FORMAT = 1;
const SUITE_OFFSET = 3;

/** Suite 1: the blob holds a data key that the edge made. */
export const DATA_KEY_SUITE = 1;
/** Suite 2: the blob holds bytes that the caller chose. */
export const VALUE_SUITE = 2;
/** Both: HKDF-SHA-256, AES-256-GCM, committing. The suite is part of the identity, so each has wrapping keys of its own. */
export type Suite = typeof DATA_KEY_SUITE | typeof VALUE_SUITE;

export const SALT_LENGTH = 16;
export const NONCE_LENGTH = 12;
export const COMMITMENT_LENGTH = 32;
export const TAG_LENGTH = 16;

/** magic, format, suite, l3_version and tenant_len stand before the tenant. */
const TENANT_OFFSET = 9;
const NAME_LENGTH_MAX = 128;
/** All but the names and the ciphertext: identity's fixed bytes, salt, nonce, commitment, tag. */
const FIXED_LENGTH = TENANT_OFFSET + 1 + SALT_LENGTH + NONCE_LENGTH + COMMITMENT_LENGTH + TAG_LENGTH;

/** The longest value, in bytes. The shortest has one. */
export const VALUE_LENGTH_MAX = 65_536;
/** The longest wrapped data key: longest names, 64-byte data key. */
export const BLOB_LENGTH_MAX = FIXED_LENGTH + 2 * NAME_LENGTH_MAX + 64;
/** The longest encrypted value. */
export const VALUE_BLOB_LENGTH_MAX = FIXED_LENGTH + 2 * NAME_LENGTH_MAX + VALUE_LENGTH_MAX;

/** The lengths a data key may have, in bytes. */
export type DataKeyLength = 16 | 32 | 64;

export function isDataKeyLength(length: number): length is DataKeyLength {
  return length === 16 || length === 32 || length === 64;
}

/** What names an L3 version: part of the derivation and of the additional data ("Why", 4). */
export interface ServiceKeyIdentity {
  readonly tenant: string;
  readonly service: string;
  /** From 1 to 2^32 - 1. */
  readonly version: number;
}

/** A blob that is not malformed: its bytes, what it says of itself, and where its fields stand. Nothing is verified. */
export interface ParsedBlob extends ServiceKeyIdentity {
  readonly suite: Suite;
  /** The whole blob; not copied, so the caller must not change it while this object is in use. */
  readonly bytes: Uint8Array;
  /** Where `identity` ends and the salt starts. */
  readonly saltOffset: number;
  readonly nonceOffset: number;
  readonly commitmentOffset: number;
  /** Where the additional data's part of the blob ends and the ciphertext starts. */
  readonly ciphertextOffset: number;
  readonly tagOffset: number;
}

export function identityLength({ tenant, service }: ServiceKeyIdentity): number {
  return TENANT_OFFSET + tenant.length + 1 + service.length;
}

/** Encodes `identity`: every byte from the magic to the end of the service. The names must be valid (`isName`). */
export function encodeIdentity(identity: ServiceKeyIdentity, suite: Suite = DATA_KEY_SUITE): Uint8Array {
  const { tenant, service, version } = identity;
  const bytes = new Uint8Array(identityLength(identity));
  bytes[0] = MAGIC_0;
  bytes[1] = MAGIC_1;
  bytes[2] = FORMAT;
  bytes[SUITE_OFFSET] = suite;
  bytes[4] = version >>> 24;
  bytes[5] = version >>> 16;
  bytes[6] = version >>> 8;
  bytes[7] = version;
  bytes[8] = tenant.length;
  putAscii(bytes, TENANT_OFFSET, tenant);
  bytes[TENANT_OFFSET + tenant.length] = service.length;
  putAscii(bytes, TENANT_OFFSET + tenant.length + 1, service);
  return bytes;
}

/**
 * As `readBlob`.
 *
 * @throws {OperationError} `invalid_blob`, and nothing else, whatever the bytes are.
 */
export function parseBlob(bytes: Uint8Array, accepted?: Suite): ParsedBlob {
  const blob = readBlob(bytes, accepted);
  if (blob instanceof OperationError) throw blob;
  return blob;
}

/**
 * Reads a blob ("Rules for a reader": a blob that is not malformed has exactly one reading). With `accepted`, blobs of that
 * suite alone: an operation on data keys takes no values, and the other way round. Gives what is wrong with it, `invalid_blob`, as a value:
 * a batch may have ten thousand such, and of each that is thrown the runtime keeps the calls that it came through.
 *
 * What it takes depends on these bytes alone: nothing is remembered from one blob to the next, so its time tells a caller
 * nothing about what others ask for (docs/security.md, "Denied calls").
 */
export function readBlob(bytes: Uint8Array, accepted?: Suite): ParsedBlob | OperationError {
  if (bytes.length < FIXED_LENGTH + 2 + 1) return TOO_SHORT;
  if (bytes[0] !== MAGIC_0 || bytes[1] !== MAGIC_1) return OTHER_MAGIC;
  if (bytes[2] !== FORMAT) return OTHER_FORMAT;
  const suite = bytes[SUITE_OFFSET]!;
  if (suite !== DATA_KEY_SUITE && suite !== VALUE_SUITE) return UNKNOWN_SUITE;
  const version = ((bytes[4]! << 24) | (bytes[5]! << 16) | (bytes[6]! << 8) | bytes[7]!) >>> 0;
  if (version === 0) return VERSION_0;

  const tenantLength = bytes[8]!;
  const serviceLengthOffset = TENANT_OFFSET + tenantLength;
  const ofTenant = mistakeInName(bytes, TENANT_OFFSET, tenantLength, TENANT_MISTAKES);
  if (ofTenant !== undefined) return ofTenant;
  const serviceLength = bytes[serviceLengthOffset] ?? 0;
  const saltOffset = serviceLengthOffset + 1 + serviceLength;
  const ofService = mistakeInName(bytes, serviceLengthOffset + 1, serviceLength, SERVICE_MISTAKES);
  if (ofService !== undefined) return ofService;

  const nonceOffset = saltOffset + SALT_LENGTH;
  const commitmentOffset = nonceOffset + NONCE_LENGTH;
  const ciphertextOffset = commitmentOffset + COMMITMENT_LENGTH;
  const tagOffset = bytes.length - TAG_LENGTH;
  const length = tagOffset - ciphertextOffset;
  if (suite === DATA_KEY_SUITE ? !isDataKeyLength(length) : length < 1 || length > VALUE_LENGTH_MAX) {
    return OTHER_LENGTH;
  }
  if (accepted !== undefined && suite !== accepted) return suite === VALUE_SUITE ? IS_VALUE : IS_DATA_KEY;
  // Both names in one string, cut in two: a call into the runtime takes longer than all else here.
  const names = asLatin1(bytes, TENANT_OFFSET, saltOffset);
  return {
    bytes,
    suite,
    tenant: names.slice(0, tenantLength),
    service: names.slice(tenantLength + 1),
    version,
    saltOffset,
    nonceOffset,
    commitmentOffset,
    ciphertextOffset,
    tagOffset,
  };
}

type Latin1Slice = (this: Uint8Array, start: number, end: number) => string;

/** Of Buffers, the fastest there is. Clients also run where there are none. */
const latin1Slice = (globalThis as { Buffer?: { prototype: { latin1Slice: Latin1Slice } } }).Buffer?.prototype
  .latin1Slice;

function asLatin1(bytes: Uint8Array, start: number, end: number): string {
  if (latin1Slice === undefined) return String.fromCharCode(...bytes.subarray(start, end));
  return latin1Slice.call(bytes, start, end);
}

function mistakeInName(
  bytes: Uint8Array,
  offset: number,
  length: number,
  mistakes: NameMistakes,
): OperationError | undefined {
  if (length === 0 || length > NAME_LENGTH_MAX) return mistakes.length;
  if (offset + length > bytes.length) return mistakes.end;
  for (let index = offset; index < offset + length; index++) {
    if (NAME_BYTE[bytes[index]!] === 0) return mistakes.character;
  }
  return NAME_BYTE[bytes[offset]!] === ALPHANUMERIC ? undefined : mistakes.start;
}

/** 0: not allowed in a name; 1: allowed after the first character; 2: a letter or digit. */
const ALPHANUMERIC = 2;
const NAME_BYTE = new Uint8Array(256);
for (const character of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") {
  NAME_BYTE[character.charCodeAt(0)] = ALPHANUMERIC;
}
for (const character of "._:-") NAME_BYTE[character.charCodeAt(0)] = 1;

function putAscii(target: Uint8Array, offset: number, text: string): void {
  for (let index = 0; index < text.length; index++) target[offset + index] = text.charCodeAt(index);
}

// Each mistake is one error for all blobs that have it: it says nothing of the caller, nor of the blob beside that.

const TOO_SHORT = malformed("it is too short");
const OTHER_MAGIC = malformed("it does not start with the bytes 4C 34");
const OTHER_FORMAT = malformed("its format is unknown");
const UNKNOWN_SUITE = malformed("its suite is unknown");
const VERSION_0 = malformed("its key version is 0");
const OTHER_LENGTH = malformed("its length is not what its fields add up to");
const IS_VALUE = Object.freeze(
  new OperationError(
    "invalid_blob",
    "This is an encrypted value, not a wrapped data key: open it with the operation for values.",
  ),
);
const IS_DATA_KEY = Object.freeze(
  new OperationError(
    "invalid_blob",
    "This is a wrapped data key, not an encrypted value: open it with the operation for keys.",
  ),
);
const TENANT_MISTAKES: NameMistakes = {
  length: malformed(`its tenant is not 1 to ${NAME_LENGTH_MAX} bytes long`),
  end: malformed("it ends inside its tenant"),
  character: malformed("its tenant has a character that is not allowed"),
  start: malformed("its tenant does not start with a letter or digit"),
};
const SERVICE_MISTAKES: NameMistakes = {
  length: malformed(`its service is not 1 to ${NAME_LENGTH_MAX} bytes long`),
  end: malformed("it ends inside its service"),
  character: malformed("its service has a character that is not allowed"),
  start: malformed("its service does not start with a letter or digit"),
};

type NameMistakes = Readonly<Record<"length" | "end" | "character" | "start", OperationError>>;

function malformed(reason: string): OperationError {
  return Object.freeze(
    new OperationError(
      "invalid_blob",
      `This is not a wrapped key or value: ${reason}. Pass the bytes of "wrapped" exactly as they were returned.`,
    ),
  );
}
