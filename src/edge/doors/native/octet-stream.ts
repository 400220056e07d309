/**
 * The batches as bytes (docs/api.md, "Batches as bytes"), for those who count them. Integers are unsigned big-endian.
 *
 *     create-batch request   count 4, length 1, plaintext 1 (0 or 1), tenant_len 1, tenant, service_len 1, service, context
 *     create-batch answer    count 4, version 4, then for each key: blob_len 2, blob, and the data key if asked for
 *     decrypt-batch request  count 4, then for each item: blob_len 2, blob, context
 *     decrypt-batch answer   count 4, then for each item: 0 (2 bytes), key_len 1, key; or status 2, code_len 1, code
 *
 * `context` is `length 2` and then that many bytes, encoded as blob-format.md has it.
 */

import { CryptoEdgeError } from "../../../base/errors.ts";
import { isName } from "../../../base/names.ts";
import { wipe } from "../../../base/wipe.ts";
import { isDataKeyLength } from "../../cipher/blob.ts";
import { decodeContext, type EncryptionContext } from "../../cipher/context.ts";
import { BATCH_MAX } from "../../operations/kinds.ts";
import type { CreatedKey, CreateKeyRequest, Opened, OpenRequest } from "../../operations/operations.ts";

export const OCTET_STREAM = "application/octet-stream";

const latin1 = new TextDecoder("latin1");
const encoder = new TextEncoder();

/** @throws {CryptoEdgeError} `invalid_request` */
export function readCreateBatch(bytes: Uint8Array): { request: CreateKeyRequest; count: number } {
  const reader = new Reader(bytes);
  const count = readCount(reader);
  const length = reader.unsigned(1);
  const plaintext = reader.unsigned(1);
  const tenant = latin1.decode(reader.take(reader.unsigned(1)));
  const service = latin1.decode(reader.take(reader.unsigned(1)));
  const context = readContext(reader);
  reader.end();
  if (!isDataKeyLength(length)) throw invalid("the data key's length is not 16, 32 or 64");
  if (plaintext > 1) throw invalid("the plaintext byte is neither 0 nor 1");
  if (!isName(tenant) || !isName(service)) throw invalid("the tenant or the service is not a name");
  return { request: { tenant, service, context, length, plaintext: plaintext === 1 }, count };
}

/** Writes the answer and wipes every data key that it has copied. */
export function writeCreateBatch(keys: readonly CreatedKey[]): Uint8Array {
  const total = keys.reduce((sum, key) => sum + 2 + key.wrapped.length + (key.plaintext?.length ?? 0), 8);
  const bytes = new Uint8Array(total);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, keys.length);
  view.setUint32(4, keys[0]?.version ?? 0);
  let offset = 8;
  for (const { wrapped, plaintext } of keys) {
    view.setUint16(offset, wrapped.length);
    bytes.set(wrapped, offset + 2);
    offset += 2 + wrapped.length;
    if (plaintext === undefined) continue;
    bytes.set(plaintext, offset);
    offset += plaintext.length;
    wipe(plaintext);
  }
  return bytes;
}

/** @throws {CryptoEdgeError} `invalid_request`; a blob that is malformed is its own item's error, later. */
export function readDecryptBatch(bytes: Uint8Array): OpenRequest[] {
  const reader = new Reader(bytes);
  const count = readCount(reader);
  const requests: OpenRequest[] = [];
  for (let index = 0; index < count; index++) {
    const wrapped = reader.take(reader.unsigned(2));
    requests.push({ wrapped, context: readContext(reader) });
  }
  reader.end();
  return requests;
}

/** Writes the answer and wipes every data key that it has copied. */
export function writeDecryptBatch(results: readonly (Opened | CryptoEdgeError)[]): Uint8Array {
  const length = (result: Opened | CryptoEdgeError): number =>
    result instanceof CryptoEdgeError ? result.code.length : result.plaintext.length;
  const bytes = new Uint8Array(results.reduce((sum, result) => sum + 3 + length(result), 4));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, results.length);
  let offset = 4;
  for (const result of results) {
    const failed = result instanceof CryptoEdgeError;
    view.setUint16(offset, failed ? result.status : 0);
    view.setUint8(offset + 2, length(result));
    bytes.set(failed ? encoder.encode(result.code) : result.plaintext, offset + 3);
    offset += 3 + length(result);
    if (!failed) wipe(result.plaintext);
  }
  return bytes;
}

function readCount(reader: Reader): number {
  const count = reader.unsigned(4);
  if (count < 1 || count > BATCH_MAX) throw invalid(`the count is not from 1 to ${BATCH_MAX}`);
  return count;
}

function readContext(reader: Reader): EncryptionContext {
  return decodeContext(reader.take(reader.unsigned(2)));
}

class Reader {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  unsigned(length: 1 | 2 | 4): number {
    return this.take(length).reduce((value, byte) => value * 256 + byte, 0);
  }

  take(length: number): Uint8Array {
    const start = this.#offset;
    if (start + length > this.#bytes.length) throw invalid("it ends too early");
    this.#offset += length;
    return this.#bytes.subarray(start, this.#offset);
  }

  end(): void {
    if (this.#offset !== this.#bytes.length) throw invalid("it goes on after its end");
  }
}

function invalid(reason: string): CryptoEdgeError {
  return new CryptoEdgeError("invalid_request", `The batch cannot be read: ${reason}. docs/api.md has its layout.`);
}
