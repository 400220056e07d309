/**
 * The record, format 1 (docs/record-format.md): its layout and its two derived keys.
 *
 *     magic 2 "LR" · format 1 (01) · flags 1 (00) · wrapped_len 2 · wrapped key · nonce 12 · commitment 32 · ciphertext · tag 16
 */
import { CryptoEdgeError, parseWrapped } from "../client/index.ts";
import { hkdf, NONCE_LENGTH, TAG_LENGTH } from "./cryptography.ts";

/** magic, format, flags */
export const FIXED = Uint8Array.of(0x4c, 0x52, 0x01, 0x00);
export const COMMITMENT_LENGTH = 32;
const WRAPPED_OFFSET = FIXED.length + 2;
/** All but the wrapped key and the ciphertext. */
export const OVERHEAD = WRAPPED_OFFSET + NONCE_LENGTH + COMMITMENT_LENGTH + TAG_LENGTH;
/** A wrapped key of a 32-byte data key has this many bytes beside its names. */
const WRAPPED_LENGTH_MIN = 118 + 2;

const INFO = Uint8Array.from([...new TextEncoder().encode("crypto-edge record v1"), 0, ...FIXED]);

export const DATA_KEY_LENGTH = 32;

/** K (32 bytes) and C (32) of a data key, into a buffer that its owner wipes. */
export function deriveRecordKeys(dataKey: Uint8Array, target: Uint8Array): void {
  hkdf(dataKey, INFO, target);
}

/** Where a record's fields are. Nothing is copied, nothing verified. */
export interface RecordParts {
  readonly bytes: Uint8Array;
  readonly wrapped: Uint8Array;
  readonly nonceOffset: number;
  readonly commitmentOffset: number;
  readonly ciphertextOffset: number;
  readonly tagOffset: number;
}

/** @throws {CryptoEdgeError} `invalid_record`, and nothing else, whatever the bytes are */
export function parseRecord(bytes: Uint8Array): RecordParts {
  if (bytes.length < OVERHEAD + WRAPPED_LENGTH_MIN) throw malformed("it is too short");
  if (bytes[0] !== FIXED[0] || bytes[1] !== FIXED[1]) throw malformed("it does not start with the bytes 4C 52");
  if (bytes[2] !== FIXED[2]) throw malformed("its format is unknown to this version");
  if (bytes[3] !== FIXED[3]) throw malformed("its flags are unknown to this version");
  const nonceOffset = WRAPPED_OFFSET + ((bytes[4]! << 8) | bytes[5]!);
  const commitmentOffset = nonceOffset + NONCE_LENGTH;
  const ciphertextOffset = commitmentOffset + COMMITMENT_LENGTH;
  const tagOffset = bytes.length - TAG_LENGTH;
  if (ciphertextOffset > tagOffset) throw malformed("it ends too early");
  const wrapped = bytes.subarray(WRAPPED_OFFSET, nonceOffset);
  return { bytes, wrapped, nonceOffset, commitmentOffset, ciphertextOffset, tagOffset };
}

/** What stands before the nonce in every record of a wrapped key. */
function recordStart(wrapped: Uint8Array): Uint8Array {
  const start = new Uint8Array(WRAPPED_OFFSET + wrapped.length);
  start.set(FIXED);
  start[FIXED.length] = wrapped.length >>> 8;
  start[FIXED.length + 1] = wrapped.length;
  start.set(wrapped, WRAPPED_OFFSET);
  return start;
}

/** The record with another wrapped key of the same data key ("A rewrap replaces wrapped and wrapped_len and nothing else"). */
export function replaceWrapped({ bytes, nonceOffset }: RecordParts, wrapped: Uint8Array): Uint8Array {
  const start = recordStart(wrapped);
  const record = new Uint8Array(start.length + bytes.length - nonceOffset);
  record.set(start);
  record.set(bytes.subarray(nonceOffset), start.length);
  return record;
}

/** What a record says of itself: nothing of it is verified. */
export interface RecordInfo {
  readonly tenant: string;
  readonly service: string;
  /** The service key's version that its data key is wrapped under. */
  readonly version: number;
  readonly wrapped: Uint8Array;
  /** Bytes of the value. */
  readonly valueLength: number;
}

/**
 * Reads what a record says of itself, offline: which rows still are under an older version, for example.
 *
 * @throws {CryptoEdgeError} `invalid_record`
 *
 * @example
 * ```ts
 * const { version, wrapped } = inspectRecord(row.sealed);
 * if (version < activeVersion) toRewrap.push({ id: row.id, wrapped });
 * ```
 */
export function inspectRecord(record: Uint8Array): RecordInfo {
  const { wrapped, ciphertextOffset, tagOffset } = parseRecord(record);
  const { tenant, service, version } = parseRecordKey(wrapped);
  return { tenant, service, version, wrapped: wrapped.slice(), valueLength: tagOffset - ciphertextOffset };
}

/** What the wrapped key within a record says; suite 1, of a 32-byte data key. */
export function parseRecordKey(wrapped: Uint8Array): { tenant: string; service: string; version: number } {
  let info: ReturnType<typeof parseWrapped>;
  try {
    info = parseWrapped(wrapped);
  } catch {
    throw malformed("the wrapped key in it is none");
  }
  const fixed = 10 + info.tenant.length + info.service.length + 16 + 12 + 32 + 16;
  if (info.suite !== 1 || wrapped.length - fixed !== DATA_KEY_LENGTH)
    throw malformed("the wrapped key in it is of another kind");
  return info;
}

function malformed(reason: string): CryptoEdgeError {
  return new CryptoEdgeError(
    "invalid_record",
    `This is not a record: ${reason}. Pass its bytes exactly as they were sealed.`,
  );
}
