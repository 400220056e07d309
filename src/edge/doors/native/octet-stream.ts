/**
 * The batches as bytes (docs/api.md, "Batches as bytes"), for those who count them. Integers are unsigned big-endian.
 *
 *     create-batch request    count 4, length 1, plaintext 1 (0 or 1), tenant_len 1, tenant, service_len 1, service, context
 *     create-batch answer     count 4, version 4, then for each key: blob_len 2, blob, and the data key if asked for
 *     decrypt-batch request   count 4, then for each item: blob_len 2, blob, context
 *     decrypt-batch answer    count 4, then for each item: 0 (2 bytes), key_len 1, key
 *     rewrap-batch request    count 4, then for each item: blob_len 4, blob, context
 *     rewrap-batch answer     count 4, then for each item: 0 (2 bytes), version 4, was_active 1 (0 or 1), blob_len 4, blob
 *     values, encrypt-batch   count 4, then for each item: tenant_len 1, tenant, service_len 1, service, value_len 4, value, context
 *             answer          count 4, then for each item: 0 (2 bytes), version 4, blob_len 4, blob
 *     values, decrypt-batch   count 4, then for each item: blob_len 4, blob, context
 *             answer          count 4, then for each item: 0 (2 bytes), value_len 4, value
 *
 * An item that failed is, in each answer: status 2, code_len 1, code. `context` is `length 2` and then that many bytes, encoded as
 * blob-format.md has it.
 */
import { OperationError } from "../../../base/errors.ts";
import { isName } from "../../../base/names.ts";
import { longMemory } from "../../../base/network/http1/long-memory.ts";
import { runInTurns } from "../../../base/time/run-in-turns.ts";
import { wipe } from "../../../base/wipe.ts";
import { isDataKeyLength } from "../../cipher/blob.ts";
import { decodeContext, type EncryptionContext } from "../../cipher/context.ts";
import { BATCH_MAX } from "../../operations/kinds.ts";
import type {
  CreateKeyRequest,
  EncryptedValue,
  EncryptValueRequest,
  Opened,
  OpenRequest,
  Rewrapped,
  TakeKey,
} from "../../operations/operations.ts";

export const OCTET_STREAM = "application/octet-stream";

const latin1 = new TextDecoder("latin1");
const encoder = new TextEncoder();

/** @throws {OperationError} `invalid_request` */
export function readCreateBatch(bytes: Uint8Array): { request: CreateKeyRequest; count: number } {
  const reader = new Reader(bytes);
  const count = readCount(reader);
  const length = reader.unsigned(1);
  const plaintext = reader.unsigned(1);
  const { tenant, service } = readNames(reader);
  const context = readContext(reader);
  reader.end();
  if (!isDataKeyLength(length)) throw invalid("the data key's length is not 16, 32 or 64");
  if (plaintext > 1) throw invalid("the plaintext byte is neither 0 nor 1");
  return { request: { tenant, service, context, length, plaintext: plaintext === 1 }, count };
}

/** Of a decrypt-batch of keys. @throws {OperationError} `invalid_request`; a blob that is malformed is its own item's error, later. */
const readKeys = (bytes: Uint8Array): Promise<OpenRequest[]> => readItems(bytes, (reader) => readBlob(reader, 2));

/** Of a rewrap-batch, or a decrypt-batch of values. @throws as `readKeys` */
const readBlobs = (bytes: Uint8Array): Promise<OpenRequest[]> => readItems(bytes, (reader) => readBlob(reader, 4));

/** @throws {OperationError} `invalid_request` */
const readValues = (bytes: Uint8Array): Promise<EncryptValueRequest[]> =>
  readItems(bytes, (reader) => {
    const names = readNames(reader);
    const value = reader.take(reader.unsigned(4));
    return { ...names, value, context: readContext(reader) };
  });

/** The answer to a create-batch, written key by key. All are of one length. */
export class CreatedKeysWriter {
  readonly #count: number;
  #writer: Writer | undefined;

  constructor(count: number) {
    this.#count = count;
  }

  readonly take: TakeKey = (wrapped, plaintext, version) => {
    const writer = this.#writer ?? this.#begin(2 + wrapped.length + (plaintext?.length ?? 0), version);
    writer.unsigned(2, wrapped.length);
    writer.put(wrapped);
    if (plaintext !== undefined) writer.put(plaintext);
  };

  /**
   * What was written, which is the caller's, to be given back to `longMemory`: no byte that nobody has written, were the keys of some cipher of
   * different lengths.
   */
  get bytes(): Buffer {
    return this.#writer!.bytes;
  }

  /** Wipes it: nobody gets it. */
  discard(): void {
    if (this.#writer !== undefined) void longMemory.give(this.#writer.bytes);
  }

  #begin(keyBytes: number, version: number): Writer {
    const writer = new Writer(8 + this.#count * keyBytes);
    writer.unsigned(4, this.#count);
    writer.unsigned(4, version);
    this.#writer = writer;
    return writer;
  }
}

/** Writes the answer and wipes every data key that it has copied. */
const writeOpenedKeys = (results: readonly (Opened | OperationError)[]): Promise<Buffer> =>
  writeResults(
    results,
    ({ plaintext }) => 1 + plaintext.length,
    (writer, opened) => putOnce(writer, 1, opened),
  );

/** Writes the answer and wipes every value that it has copied. */
const writeOpenedValues = (results: readonly (Opened | OperationError)[]): Promise<Buffer> =>
  writeResults(
    results,
    ({ plaintext }) => 4 + plaintext.length,
    (writer, opened) => putOnce(writer, 4, opened),
  );

const writeRewrappedMany = (results: readonly (Rewrapped | OperationError)[]): Promise<Buffer> =>
  writeResults(
    results,
    ({ wrapped }) => 9 + wrapped.length,
    (writer, { wrapped, version, wasActive }) => {
      writer.unsigned(4, version);
      writer.unsigned(1, wasActive ? 1 : 0);
      writer.unsigned(4, wrapped.length);
      writer.put(wrapped);
    },
  );

const writeEncryptedValues = (results: readonly (EncryptedValue | OperationError)[]): Promise<Buffer> =>
  writeResults(
    results,
    ({ wrapped }) => 8 + wrapped.length,
    (writer, { wrapped, version }) => {
      writer.unsigned(4, version);
      writer.unsigned(4, wrapped.length);
      writer.put(wrapped);
    },
  );

/** What a row of the table of routes names: of the bodies, and of the answers, whose items are judged each by itself. */
export const BODIES = { readKeys, readBlobs, readValues };
export const ANSWERS = { writeOpenedKeys, writeOpenedValues, writeRewrappedMany, writeEncryptedValues };

function putOnce(writer: Writer, lengthBytes: 1 | 4, { plaintext }: Opened): void {
  writer.unsigned(lengthBytes, plaintext.length);
  writer.put(plaintext);
  wipe(plaintext);
}

async function writeResults<Result extends object>(
  results: readonly (Result | OperationError)[],
  lengthOf: (result: Result) => number,
  put: (writer: Writer, result: Result) => void,
): Promise<Buffer> {
  const total = results.reduce(
    (sum, result) => sum + 2 + (result instanceof OperationError ? 1 + result.code.length : lengthOf(result)),
    4,
  );
  const writer = new Writer(total);
  writer.unsigned(4, results.length);
  await runInTurns(results.length, (index) => {
    const result = results[index]!;
    const start = writer.offset;
    if (result instanceof OperationError) {
      writer.unsigned(2, result.status);
      writer.unsigned(1, result.code.length);
      writer.put(encoder.encode(result.code));
    } else {
      writer.unsigned(2, 0);
      put(writer, result);
    }
    return writer.offset - start;
  });
  return writer.bytes;
}

async function readItems<Item>(bytes: Uint8Array, read: (reader: Reader) => Item): Promise<Item[]> {
  const reader = new Reader(bytes);
  const count = readCount(reader);
  const items: Item[] = [];
  await runInTurns(count, () => {
    const start = reader.offset;
    items.push(read(reader));
    return reader.offset - start;
  });
  reader.end();
  return items;
}

function readCount(reader: Reader): number {
  const count = reader.unsigned(4);
  if (count < 1 || count > BATCH_MAX) throw invalid(`the count is not from 1 to ${BATCH_MAX}`);
  return count;
}

function readNames(reader: Reader): { tenant: string; service: string } {
  const tenant = latin1.decode(reader.take(reader.unsigned(1)));
  const service = latin1.decode(reader.take(reader.unsigned(1)));
  if (!isName(tenant) || !isName(service)) throw invalid("the tenant or the service is not a name");
  return { tenant, service };
}

function readBlob(reader: Reader, lengthBytes: 2 | 4): OpenRequest {
  const wrapped = reader.take(reader.unsigned(lengthBytes));
  return { wrapped, context: readContext(reader) };
}

function readContext(reader: Reader): EncryptionContext {
  return decodeContext(reader.take(reader.unsigned(2)));
}

class Reader {
  readonly #bytes: Uint8Array;
  offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  unsigned(length: 1 | 2 | 4): number {
    let value = 0;
    for (const byte of this.take(length)) value = value * 256 + byte;
    return value;
  }

  take(length: number): Uint8Array {
    const start = this.offset;
    if (start + length > this.#bytes.length) throw invalid("it ends too early");
    this.offset += length;
    return this.#bytes.subarray(start, this.offset);
  }

  end(): void {
    if (this.offset !== this.#bytes.length) throw invalid("it goes on after its end");
  }
}

class Writer {
  readonly #bytes: Buffer;
  readonly #view: DataView;
  offset = 0;

  /** What was written, which is the caller's, to be given back to `longMemory`. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.offset);
  }

  constructor(length: number) {
    this.#bytes = longMemory.take(length);
    this.#view = new DataView(this.#bytes.buffer);
  }

  unsigned(length: 1 | 2 | 4, value: number): void {
    if (length === 1) this.#view.setUint8(this.offset, value);
    else if (length === 2) this.#view.setUint16(this.offset, value);
    else this.#view.setUint32(this.offset, value);
    this.offset += length;
  }

  put(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.offset);
    this.offset += bytes.length;
  }
}

function invalid(reason: string): OperationError {
  return new OperationError("invalid_request", `The batch cannot be read: ${reason}. docs/api.md has its layout.`);
}
