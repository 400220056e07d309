/** Sealed files as Web Streams: whatever the size, some chunks in memory. */
import { type Client, CryptoEdgeError } from "../client/index.ts";
import {
  CHUNK_LENGTH,
  readSealedHeader,
  replaceWrappedKey,
  SEALED_CHUNK_LENGTH,
  SEALED_HEADER_LENGTH_MAX,
  type SealedHeader,
  writeSealedHeader,
} from "../seal/format.ts";
import { FileKey } from "./file-key.ts";

/** What sealing and opening need of an edge's client. */
export type FilesEdge = Pick<Client, "createKey" | "decryptKey" | "rewrapKey">;

/** Whose service key wraps the file's data key. */
export interface SealStreamOptions {
  readonly tenant: string;
  /** `default` unless given. */
  readonly service?: string;
}

/**
 * Seals what goes through it, as a sealed file of format 2 (docs/sealed-file.md) under a data key of its own: `crypto-edge open` reads it too.
 *
 * @example
 * ```ts
 * const sealed = file.stream().pipeThrough(sealStream(edge, { tenant: "tenant-a", service: "documents" }));
 * await fetch(upload, { method: "PUT", body: sealed, duplex: "half" });
 * ```
 * Errors of the edge error the stream ({CryptoEdgeError}).
 */
export function sealStream(edge: FilesEdge, options: SealStreamOptions): TransformStream<Uint8Array, Uint8Array> {
  const pieces = new Pieces();
  let key: FileKey;
  let number = 0;
  return new TransformStream({
    async start(controller) {
      const { tenant, service = "default" } = options;
      const { wrapped, plaintext } = await edge.createKey({ tenant, service, plaintext: true });
      const derived = await FileKey.derive(mustBeKey(plaintext));
      const header = writeSealedHeader(wrapped, derived.commitment);
      key = await derived.key(readSealedHeader(header).additionalData);
      controller.enqueue(header);
    },
    async transform(bytes, controller) {
      pieces.add(bytes);
      // The last chunk is known by what comes after it: a full one waits for more.
      while (pieces.length > CHUNK_LENGTH)
        controller.enqueue(await key.seal(pieces.take(CHUNK_LENGTH), number++, false));
    },
    async flush(controller) {
      controller.enqueue(await key.seal(pieces.take(pieces.length), number, true));
    },
  });
}

/**
 * Opens a sealed file, of either format, as it goes through. Each 64 KiB are verified before they come out; whoever has used some of them
 * throws them away when the stream then fails ({SealedFileError}: altered or cut short).
 *
 * @example
 * ```ts
 * const response = await fetch(download);
 * await response.body!.pipeThrough(openStream(edge)).pipeTo(destination);
 * ```
 */
export function openStream(edge: FilesEdge): TransformStream<Uint8Array, Uint8Array> {
  const pieces = new Pieces();
  let key: FileKey | undefined;
  let number = 0;
  const begin = async (): Promise<FileKey> => {
    const header = readSealedHeader(pieces.peek(SEALED_HEADER_LENGTH_MAX));
    pieces.take(header.length);
    return openFileKey(edge, header);
  };
  return new TransformStream({
    async transform(bytes, controller) {
      pieces.add(bytes);
      if (key === undefined) {
        if (pieces.length < SEALED_HEADER_LENGTH_MAX) return;
        key = await begin();
      }
      while (pieces.length > SEALED_CHUNK_LENGTH) {
        controller.enqueue(await key.open(pieces.take(SEALED_CHUNK_LENGTH), number++, false));
      }
    },
    async flush(controller) {
      key ??= await begin();
      controller.enqueue(await key.open(pieces.take(pieces.length), number, true));
    },
  });
}

/**
 * Puts the data key of a sealed file under the active version of its service key, as the file goes through: the content is neither opened nor
 * changed. For files that are stored as a whole anyway, after a rotation. Errors of the edge error the stream.
 *
 * @example
 * ```ts
 * await Readable.toWeb(createReadStream("in.sealed")).pipeThrough(rewrapStream(edge)).pipeTo(Writable.toWeb(createWriteStream("out.sealed")));
 * ```
 */
export function rewrapStream(edge: FilesEdge): TransformStream<Uint8Array, Uint8Array> {
  const pieces = new Pieces();
  let isDone = false;
  const begin = async (controller: TransformStreamDefaultController<Uint8Array>): Promise<void> => {
    const header = readSealedHeader(pieces.peek(SEALED_HEADER_LENGTH_MAX));
    pieces.take(header.length);
    const { wrapped } = await edge.rewrapKey({ wrapped: header.wrapped });
    controller.enqueue(replaceWrappedKey(header, wrapped));
    isDone = true;
  };
  return new TransformStream({
    async transform(bytes, controller) {
      pieces.add(bytes);
      if (!isDone && pieces.length < SEALED_HEADER_LENGTH_MAX) return;
      if (!isDone) await begin(controller);
      controller.enqueue(pieces.take(pieces.length));
    },
    async flush(controller) {
      if (!isDone) await begin(controller);
      controller.enqueue(pieces.take(pieces.length));
    },
  });
}

/** The key of a file that is read. */
export async function openFileKey(edge: FilesEdge, header: SealedHeader): Promise<FileKey> {
  const { plaintext } = await edge.decryptKey({ wrapped: header.wrapped });
  return FileKey.open(mustBeKey(plaintext), header);
}

function mustBeKey(plaintext: Uint8Array | undefined): Uint8Array {
  if (plaintext?.length === 32) return plaintext;
  plaintext?.fill(0);
  throw new CryptoEdgeError(
    "unexpected_answer",
    "The edge answered without a data key of 32 bytes. Is it of this version?",
  );
}

/** Bytes that came in pieces and are taken in others. */
class Pieces {
  #pieces: Uint8Array[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  add(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#pieces.push(bytes);
    this.#length += bytes.length;
  }

  /** The first bytes, at most so many, which stay. */
  peek(length: number): Uint8Array {
    const bytes = this.take(Math.min(length, this.#length));
    if (bytes.length > 0) this.#pieces.unshift(bytes);
    this.#length += bytes.length;
    return bytes;
  }

  /** The first `length` bytes, in a buffer of their own. */
  take(length: number): Uint8Array {
    const taken = new Uint8Array(length);
    let filled = 0;
    let used = 0;
    while (filled < length) {
      const piece = this.#pieces[used]!;
      const part = piece.subarray(0, length - filled);
      taken.set(part, filled);
      filled += part.length;
      if (part.length === piece.length) used++;
      else this.#pieces[used] = piece.subarray(part.length);
    }
    this.#pieces.splice(0, used);
    this.#length -= length;
    return taken;
  }
}
