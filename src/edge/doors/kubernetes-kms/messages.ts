/**
 * The six messages of `v2.KeyManagementService` (k8s.io/kms/apis/v2/api.proto), read and written as protocol buffers:
 * https://protobuf.dev/programming-guides/encoding/. Fields that are not known are skipped, and the last of several counts.
 */
import type { Buffer } from "node:buffer";

export interface EncryptRequest {
  readonly plaintext: Uint8Array;
  readonly uid: string;
}

export interface DecryptRequest {
  readonly ciphertext: Uint8Array;
  readonly uid: string;
  /** Empty where it is left out. */
  readonly keyId: string;
}

/** Bytes that are no message. */
export class MalformedMessage extends Error {
  override readonly name = "MalformedMessage";
}

const VARINT = 0;
const FIXED_64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED_32 = 5;
const NONE = new Uint8Array(0);

/** EncryptRequest: plaintext = 1, uid = 2. The plaintext is a view of `message`. @throws {MalformedMessage} */
export function readEncryptRequest(message: Uint8Array): EncryptRequest {
  const [plaintext = NONE, uid = NONE] = lastFieldsOf(message, 2);
  return { plaintext, uid: textOf(uid) };
}

/** DecryptRequest: ciphertext = 1, uid = 2, key_id = 3, annotations = 4. @throws {MalformedMessage} */
export function readDecryptRequest(message: Uint8Array): DecryptRequest {
  const [ciphertext = NONE, uid = NONE, keyId = NONE] = lastFieldsOf(message, 3);
  return { ciphertext, uid: textOf(uid), keyId: textOf(keyId) };
}

/** StatusRequest has no field. @throws {MalformedMessage} */
export function readStatusRequest(message: Uint8Array): undefined {
  lastFieldsOf(message, 0);
  return undefined;
}

/** StatusResponse: version = 1, healthz = 2, key_id = 3. */
export function writeStatusResponse(keyId: string): Buffer {
  return write([asciiOf("v2"), asciiOf("ok"), asciiOf(keyId)]);
}

/** EncryptResponse: ciphertext = 1, key_id = 2, annotations = 3 (none). */
export function writeEncryptResponse(ciphertext: Uint8Array, keyId: string): Buffer {
  return write([ciphertext, asciiOf(keyId)]);
}

/** DecryptResponse: plaintext = 1. */
export function writeDecryptResponse(plaintext: Uint8Array): Buffer {
  return write([plaintext]);
}

/**
 * The length-delimited fields with the numbers 1 to `count`, the last of each, as views of the message. All others are stepped over,
 * without a view for each: a message may have tens of thousands.
 */
function lastFieldsOf(message: Uint8Array, count: number): (Uint8Array | undefined)[] {
  const starts: number[] = new Array(count).fill(-1);
  const ends: number[] = new Array(count).fill(-1);
  let offset = 0;
  /** Of at most 64 bits; what does not fit a length or a field's number is malformed where one is wanted. */
  const varint = (): number => {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 10; count++) {
      const byte = message[offset++];
      if (byte === undefined) throw new MalformedMessage("it ends inside a number");
      value += (byte & 0x7f) * scale;
      scale *= 128;
      if (byte < 0x80) return value;
    }
    throw new MalformedMessage("a number is longer than 64 bits");
  };
  const skip = (length: number): void => {
    if (!(length <= message.length - offset)) throw new MalformedMessage("it ends inside a field");
    offset += length;
  };
  while (offset < message.length) {
    const tag = varint();
    const field = Math.floor(tag / 8);
    if (field < 1 || field > 0x1fff_ffff) throw new MalformedMessage("a field's number is out of range");
    switch (tag % 8) {
      case VARINT:
        varint();
        break;
      case FIXED_64:
        skip(8);
        break;
      case FIXED_32:
        skip(4);
        break;
      case LENGTH_DELIMITED: {
        const length = varint();
        const start = offset;
        skip(length);
        if (field <= count) {
          starts[field - 1] = start;
          ends[field - 1] = offset;
        }
        break;
      }
      default:
        throw new MalformedMessage("a field has a wire type that is not in use");
    }
  }
  return starts.map((start, index) => (start < 0 ? undefined : message.subarray(start, ends[index])));
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function textOf(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new MalformedMessage("a text is not UTF-8");
  }
}

function asciiOf(text: string): Buffer {
  return globalThis.Buffer.from(text, "latin1");
}

/** Fields 1, 2 … in order. Each is shorter than 2^28 bytes; an empty one is left out, as its default. */
function write(fields: readonly Uint8Array[]): Buffer {
  const length = fields.reduce((sum, bytes) => sum + 1 + varintLength(bytes.length) + bytes.length, 0);
  const message = globalThis.Buffer.alloc(length);
  let offset = 0;
  for (const [index, bytes] of fields.entries()) {
    if (bytes.length === 0) continue;
    message[offset++] = ((index + 1) << 3) | LENGTH_DELIMITED;
    let rest = bytes.length;
    for (; rest > 0x7f; rest >>>= 7) message[offset++] = (rest & 0x7f) | 0x80;
    message[offset++] = rest;
    message.set(bytes, offset);
    offset += bytes.length;
  }
  return message.subarray(0, offset);
}

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) length++;
  return length;
}
