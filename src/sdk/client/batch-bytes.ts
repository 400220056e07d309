/** The batches as bytes (docs/api.md, "Batches as bytes"), as a client writes and reads them. */
import type { EncryptionContext } from "../../edge/cipher/context.ts";
import { encodedContext } from "./context.ts";
import { CryptoEdgeError, errorFromAnswer } from "./edge-error.ts";
import { isServiceName, parseWrapped } from "./wrapped.ts";

export const OCTET_STREAM = "application/octet-stream";
/** Keys of one request. */
export const BATCH_MAX = 10_000;

export interface CreateBatch {
  readonly tenant: string;
  readonly service: string;
  readonly length: number;
  readonly plaintext: boolean;
  readonly context: EncryptionContext | undefined;
}

const latin1 = new TextDecoder("latin1");

/** @throws {CryptoEdgeError} `invalid_request` */
export function writeCreateBatch(batch: CreateBatch, count: number): Uint8Array {
  for (const name of [batch.tenant, batch.service]) {
    if (!isServiceName(name))
      throw new CryptoEdgeError("invalid_request", `"${name}" is not a name of a tenant or service.`);
  }
  const context = encodedContext(batch.context);
  const { tenant, service } = batch;
  const bytes = new Uint8Array(8 + tenant.length + service.length + 2 + context.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, count);
  view.setUint8(4, batch.length);
  view.setUint8(5, batch.plaintext ? 1 : 0);
  let offset = putAscii(bytes, 6, tenant);
  offset = putAscii(bytes, offset, service);
  view.setUint16(offset, context.length);
  bytes.set(context, offset + 2);
  return bytes;
}

export interface BatchKey {
  readonly wrapped: Uint8Array;
  readonly version: number;
  readonly plaintext: Uint8Array | undefined;
  readonly cacheSeconds: number | undefined;
}

/** The keys share the answer's buffer: a copy for each of ten thousand would keep the collector busier than all else here. */
export function readCreateBatch(bytes: Uint8Array, keyLength: number, cacheSeconds: number | undefined): BatchKey[] {
  const reader = new Reader(bytes);
  const count = reader.unsigned(4);
  const version = reader.unsigned(4);
  const keys: BatchKey[] = [];
  for (let index = 0; index < count; index++) {
    const wrapped = reader.take(reader.unsigned(2));
    const plaintext = keyLength === 0 ? undefined : reader.take(keyLength);
    keys.push({ wrapped, version, plaintext, cacheSeconds });
  }
  reader.end();
  return keys;
}

export function writeDecryptBatch(
  items: readonly { readonly wrapped: Uint8Array; readonly context?: EncryptionContext | undefined }[],
): Uint8Array {
  const contexts = items.map(({ context }) => encodedContext(context));
  const length = items.reduce((sum, { wrapped }, index) => sum + 4 + wrapped.length + contexts[index]!.length, 4);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, items.length);
  let offset = 4;
  for (const [index, { wrapped }] of items.entries()) {
    for (const part of [wrapped, contexts[index]!]) {
      view.setUint16(offset, part.length);
      bytes.set(part, offset + 2);
      offset += 2 + part.length;
    }
  }
  return bytes;
}

/** As of created keys. A refused item is its error. */
export function readDecryptBatch(
  bytes: Uint8Array,
  items: readonly { readonly wrapped: Uint8Array }[],
): ({ plaintext: Uint8Array; tenant: string; service: string; version: number } | CryptoEdgeError)[] {
  const reader = new Reader(bytes);
  if (reader.unsigned(4) !== items.length) throw new RangeError("another number of answers");
  const results = items.map(({ wrapped }) => {
    const status = reader.unsigned(2);
    const length = reader.unsigned(1);
    if (status === 0) {
      const { tenant, service, version } = parseWrapped(wrapped);
      return { plaintext: reader.take(length), tenant, service, version };
    }
    const code = latin1.decode(reader.take(length));
    const detail = `The edge refused this wrapped key with ${code}: docs/errors.md says what to do.`;
    return errorFromAnswer({ code, detail, status });
  });
  reader.end();
  return results;
}

function putAscii(target: Uint8Array, offset: number, text: string): number {
  target[offset] = text.length;
  for (let index = 0; index < text.length; index++) target[offset + 1 + index] = text.charCodeAt(index);
  return offset + 1 + text.length;
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  unsigned(length: 1 | 2 | 4): number {
    const offset = this.#offset;
    this.#offset += length;
    if (length === 1) return this.#view.getUint8(offset);
    return length === 2 ? this.#view.getUint16(offset) : this.#view.getUint32(offset);
  }

  take(length: number): Uint8Array {
    const start = this.#offset;
    this.#offset += length;
    if (this.#offset > this.#bytes.length) throw new RangeError("the answer ends too early");
    return this.#bytes.subarray(start, this.#offset);
  }

  end(): void {
    if (this.#offset !== this.#bytes.length) throw new RangeError("the answer goes on after its end");
  }
}
