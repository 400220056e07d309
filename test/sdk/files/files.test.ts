/** docs/sealed-file.md by streams and ranges, against test/vectors/sealed-file-v2.json of an independent implementation. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { openSealedFile, openStream, rewrapStream, SealedFileError, sealStream } from "../../../src/sdk/files/index.ts";
import { ChunkStream } from "../../../src/sdk/seal/chunk-stream.ts";
import { CHUNK_LENGTH, readSealedHeader, SEALED_CHUNK_LENGTH } from "../../../src/sdk/seal/format.ts";
import { type StaticEdge, startStaticEdge, staticConfiguration } from "../../support/static-edge.ts";

interface FileVector {
  readonly content_length: number;
  readonly l3: string;
  readonly data_key: string;
  readonly header: string;
  readonly file_length: number;
  readonly file_sha256: string;
}

const { files } = JSON.parse(readFileSync(resolve(import.meta.dir, "../../vectors/sealed-file-v2.json"), "utf8")) as {
  files: FileVector[];
};
const NAME = { tenant: "tenant-a", service: "billing" };
const contentOf = (length: number): Uint8Array => Uint8Array.from({ length }, (_, index) => index % 251);
const LENGTHS = [0, 1, CHUNK_LENGTH - 1, CHUNK_LENGTH, CHUNK_LENGTH + 1, 3 * CHUNK_LENGTH, 200_000];

let edge: StaticEdge;
beforeAll(async () => {
  edge = await startStaticEdge();
});
afterAll(() => edge.close());

/** The file of a vector: its header, and the chunks by this project's code, held to the vector's SHA-256. */
function fileOf({ content_length, data_key, header }: FileVector): Uint8Array {
  const start = Buffer.from(header, "hex");
  const stream = ChunkStream.open(Buffer.from(data_key, "hex"), readSealedHeader(start));
  const content = contentOf(content_length);
  const parts: Uint8Array[] = [start];
  for (let offset = 0; offset === 0 || offset < content.length; offset += CHUNK_LENGTH) {
    parts.push(
      ...stream.seal(content.subarray(offset, offset + CHUNK_LENGTH), offset + CHUNK_LENGTH >= content.length),
    );
  }
  return Buffer.concat(parts);
}

/** Bytes in pieces of `length`. */
function inPieces(bytes: Uint8Array, length: number): ReadableStream<Uint8Array> {
  let offset = 0;
  return new ReadableStream({
    pull(controller) {
      if (offset >= bytes.length) return controller.close();
      controller.enqueue(bytes.subarray(offset, offset + length));
      offset += length;
    },
  });
}

const through = async (
  bytes: Uint8Array,
  stream: TransformStream<Uint8Array, Uint8Array>,
  piece = 50_000,
): Promise<Uint8Array> => new Uint8Array(await new Response(inPieces(bytes, piece).pipeThrough(stream)).arrayBuffer());
const seal = (content: Uint8Array, piece?: number): Promise<Uint8Array> =>
  through(content, sealStream(edge.client, NAME), piece);
const open = (file: Uint8Array, piece?: number): Promise<Uint8Array> => through(file, openStream(edge.client), piece);
const equal = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

describe("the files of an independent implementation", () => {
  for (const vector of files) {
    test(`of ${vector.content_length} bytes are ours to the byte, and open`, async () => {
      const file = fileOf(vector);
      expect(file.length).toBe(vector.file_length);
      expect(createHash("sha256").update(file).digest("hex")).toBe(vector.file_sha256);
      const theirs = await startStaticEdge(
        staticConfiguration("", [{ ...NAME, version: 1, state: "active", key: vector.l3 }]),
      );
      try {
        const content = await through(file, openStream(theirs.client));
        expect(equal(content, contentOf(vector.content_length))).toBe(true);
      } finally {
        await theirs.close();
      }
    });
  }
});

describe("a stream", () => {
  for (const length of LENGTHS) {
    test(`of ${length} bytes comes back as it was, in pieces of any size`, async () => {
      const content = contentOf(length);
      for (const piece of [7_919, CHUNK_LENGTH, 1_000_000]) {
        expect(equal(await open(await seal(content, piece), piece), content)).toBe(true);
      }
    });
  }

  test("of one byte at a time comes back", async () => {
    expect(equal(await open(await seal(contentOf(300), 1), 1), contentOf(300))).toBe(true);
  });

  test("of format 1, as it was written once, opens", async () => {
    const file = Buffer.from(
      readFileSync(resolve(import.meta.dir, "../../vectors/sealed-file-v1.hex"), "utf8").trim(),
      "hex",
    );
    expect(file[8]).toBe(1);
    expect(new TextDecoder().decode(await open(file))).toBe("sealed by format 1\n");
  });

  test("that is altered, cut or put together anew fails", async () => {
    const file = await seal(contentOf(3 * CHUNK_LENGTH));
    const start = readSealedHeader(file).length;
    const chunk = (index: number): Uint8Array =>
      file.subarray(start + index * SEALED_CHUNK_LENGTH, start + (index + 1) * SEALED_CHUNK_LENGTH);
    const other = await seal(contentOf(3 * CHUNK_LENGTH));
    const flipped = (index: number): Uint8Array => file.map((byte, at) => (at === index ? byte ^ 1 : byte));
    const bad: Record<string, Uint8Array> = {
      "cut after a chunk": file.subarray(0, file.length - SEALED_CHUNK_LENGTH),
      "cut in a chunk": file.subarray(0, file.length - 5),
      "only a header": file.subarray(0, start),
      "half a header": file.subarray(0, 20),
      nothing: new Uint8Array(0),
      "chunks swapped": Buffer.concat([file.subarray(0, start), chunk(1), chunk(0), chunk(2)]),
      "another file's header": Buffer.concat([other.subarray(0, start), file.subarray(start)]),
      "another commitment": flipped(15),
      "more after the end": Buffer.concat([file, Uint8Array.of(0)]),
      "a flipped bit": flipped(file.length - 20),
    };
    for (const [name, bytes] of Object.entries(bad)) {
      const end = await open(bytes).then(
        () => "opened",
        (error: unknown) => (error instanceof SealedFileError ? "refused" : String(error)),
      );
      expect(`${name}: ${end}`).toBe(`${name}: refused`);
    }
  });

  test("that an edge does not open fails with the edge's error", async () => {
    await expect(through(contentOf(5), sealStream(edge.client, { tenant: "other" }))).rejects.toMatchObject({
      code: "access_denied",
    });
  });

  test("is rewrapped without its content being touched", async () => {
    const file = await seal(contentOf(150_000));
    const rewrapped = await through(file, rewrapStream(edge.client), 1_000);
    const [before, after] = [readSealedHeader(file), readSealedHeader(rewrapped)];
    expect(after.wrapped).not.toEqual(before.wrapped);
    expect(equal(rewrapped.subarray(after.length), file.subarray(before.length))).toBe(true);
    expect(equal(await open(rewrapped), contentOf(150_000))).toBe(true);
  });
});

describe("a part of a file", () => {
  test("is what the whole has there, wherever it begins and ends", async () => {
    for (const length of LENGTHS) {
      const content = contentOf(length);
      const file = await openSealedFile(edge.client, new Blob([(await seal(content)) as BlobPart]));
      expect(file.size).toBe(length);
      const points = [0, 1, CHUNK_LENGTH - 1, CHUNK_LENGTH, CHUNK_LENGTH + 1, length].filter(
        (point) => point <= length,
      );
      for (const start of points) {
        for (const end of points.filter((point) => point >= start)) {
          expect(equal(await file.read(start, end), content.subarray(start, end))).toBe(true);
        }
      }
      const streamed = new Uint8Array(await new Response(file.stream(Math.floor(length / 3))).arrayBuffer());
      expect(equal(streamed, content.subarray(Math.floor(length / 3)))).toBe(true);
    }
  });

  test("needs only its own chunks, and a whole end", async () => {
    const sealed = await seal(contentOf(10 * CHUNK_LENGTH));
    let readBytes = 0;
    const source = {
      size: sealed.length,
      async read(start: number, end: number) {
        readBytes += end - start;
        return sealed.subarray(start, end);
      },
    };
    const file = await openSealedFile(edge.client, source);
    await file.read(5 * CHUNK_LENGTH + 10, 5 * CHUNK_LENGTH + 20);
    expect(readBytes).toBeLessThan(3 * SEALED_CHUNK_LENGTH);
    const cut = sealed.subarray(0, sealed.length - SEALED_CHUNK_LENGTH);
    await expect(openSealedFile(edge.client, new Blob([cut as BlobPart]))).rejects.toBeInstanceOf(SealedFileError);
    await expect(file.read(-1)).rejects.toBeInstanceOf(RangeError);
    await expect(file.read(0, file.size + 1)).rejects.toBeInstanceOf(RangeError);
  });
});
