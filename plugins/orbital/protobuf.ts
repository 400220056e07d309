/**
 * The two messages of `orbital.v1` in protocol buffers: nine fields each, read and written here, since a library for all of the
 * format would be a hundred times as long. Fields that are not known are skipped, the last of one counts.
 */
import { type Codec, checkRequest, MalformedTask, REQUEST_BYTES_MAX, type TaskStatus } from "./task.ts";

const VARINT = 0;
const BITS_64 = 1;
const LENGTH = 2;
const BITS_32 = 5;
const STATUSES: readonly TaskStatus[] = ["PROCESSING", "DONE", "FAILED"];

export const protobufCodec: Codec = {
  decodeRequest(bytes) {
    if (bytes.length > REQUEST_BYTES_MAX) throw new MalformedTask("longer than any request");
    const texts = new Map<number, string>();
    const metaData: Record<string, string> = {};
    let data: Uint8Array | undefined;
    let workingState: Uint8Array | undefined;
    for (const { field, value } of fieldsOf(bytes)) {
      if (value === undefined) continue;
      if (field === 10 || field === 20 || field === 25 || field === 50) texts.set(field, textOf(value));
      else if (field === 30) data = value;
      else if (field === 40) workingState = value.length === 0 ? undefined : value;
      else if (field === 60) {
        const [key, text] = entryOf(value);
        metaData[key] = text;
      }
    }
    const text = (field: number): string => texts.get(field) ?? "";
    const [taskId, type, externalId, eTag] = [text(10), text(20), text(25), text(50)];
    return checkRequest({ taskId, type, externalId, data, workingState, eTag, metaData });
  },

  encodeResponse(response) {
    const { taskId, type, externalId, workingState, eTag, status, errorMessage, reconcileAfterSec, metaData } =
      response;
    const parts: Uint8Array[] = [];
    const bytes = (field: number, value: Uint8Array): void => {
      parts.push(varint(field * 8 + LENGTH), varint(value.length), value);
    };
    const text = (field: number, value: string): void => {
      if (value !== "") bytes(field, Buffer.from(value));
    };
    const number = (field: number, value: number): void => {
      if (value !== 0) parts.push(varint(field * 8 + VARINT), varint(value));
    };
    text(10, taskId);
    text(20, type);
    text(25, externalId);
    if (workingState !== undefined) bytes(30, workingState);
    text(40, eTag);
    number(50, STATUSES.indexOf(status));
    if (errorMessage !== undefined) bytes(60, Buffer.from(errorMessage));
    number(70, reconcileAfterSec);
    for (const [key, value] of Object.entries(metaData)) {
      const [name, content] = [Buffer.from(key), Buffer.from(value)];
      const entry = [
        varint(8 + LENGTH),
        varint(name.length),
        name,
        varint(16 + LENGTH),
        varint(content.length),
        content,
      ];
      bytes(80, Buffer.concat(entry));
    }
    return Buffer.concat(parts);
  },
};

interface Field {
  readonly field: number;
  /** Undefined for one that is not of bytes. */
  readonly value: Uint8Array | undefined;
}

function* fieldsOf(bytes: Uint8Array): Generator<Field> {
  let at = 0;
  const readVarint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) throw new MalformedTask("cut short");
      // Beyond 2^53 the number is not exact, and not needed.
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new MalformedTask("a number without end");
  };
  const skip = (length: number): number => {
    const start = at;
    at += length;
    if (at > bytes.length) throw new MalformedTask("cut short");
    return start;
  };
  while (at < bytes.length) {
    const tag = readVarint();
    const field = Math.floor(tag / 8);
    const kind = tag % 8;
    if (field === 0) throw new MalformedTask("a field without a number");
    if (kind === VARINT) {
      readVarint();
      yield { field, value: undefined };
    } else if (kind === LENGTH) {
      const length = readVarint();
      const start = skip(length);
      yield { field, value: bytes.subarray(start, start + length) };
    } else if (kind === BITS_64 || kind === BITS_32) {
      skip(kind === BITS_64 ? 8 : 4);
      yield { field, value: undefined };
    } else throw new MalformedTask("a kind of field that there is not");
  }
}

function entryOf(bytes: Uint8Array): [string, string] {
  const entry: [string, string] = ["", ""];
  for (const { field, value } of fieldsOf(bytes)) {
    if (value !== undefined && (field === 1 || field === 2)) entry[field - 1] = textOf(value);
  }
  return entry;
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new MalformedTask("a text that is no UTF-8");
  }
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let left = value;
  while (left >= 0x80) {
    bytes.push((left % 0x80) + 0x80);
    left = Math.floor(left / 0x80);
  }
  bytes.push(left);
  return Uint8Array.from(bytes);
}
