/**
 * Every vector on both adapters, and random operations across them, in whichever runtime runs this; prints how many held.
 * Throws at the first that does not.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { OperationError } from "../../../src/base/errors.ts";
import { parseBlob, type Suite } from "../../../src/edge/cipher/blob.ts";
import { encodeContext } from "../../../src/edge/cipher/context.ts";
import type { NodeAdapter } from "../../../src/edge/cipher/node-adapter.ts";
import { createCipher } from "../../../src/edge/cipher/sessions.ts";
import { ChunkStream } from "../../../src/sdk/seal/chunk-stream.ts";
import { CHUNK_LENGTH, readSealedHeader } from "../../../src/sdk/seal/format.ts";
import { ADAPTERS } from "../../support/ciphers.ts";
import { cross } from "./crossing.ts";

interface BlobVector {
  readonly name: string;
  readonly l3: string;
  readonly tenant: string;
  readonly service: string;
  readonly version: number;
  readonly context: Record<string, string>;
  readonly salt: string;
  readonly nonce: string;
  readonly l4?: string;
  readonly value?: string;
  readonly blob: string;
  readonly code?: string;
}

interface GcmVector {
  readonly key: string;
  readonly nonce: string;
  readonly aad: string;
  readonly ciphertext: string;
  readonly tag: string;
  readonly plaintext: string | null;
  readonly valid?: boolean;
}

const read = <T>(name: string): T =>
  JSON.parse(readFileSync(new URL(`../../vectors/${name}.json`, import.meta.url), "utf8")) as T;
const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"));
const hex = (value: Uint8Array | undefined): string | null =>
  value === undefined ? null : Buffer.from(value).toString("hex");

function expectEqual(actual: unknown, expected: unknown, what: string): void {
  if (actual !== expected) throw new Error(`${what}: ${String(actual)} instead of ${String(expected)}`);
}

export function allVectors(): Record<string, number> {
  const held: Record<string, number> = {};
  for (const [name, adapter] of Object.entries(ADAPTERS)) {
    let count = 0;
    for (const [suite, file] of [
      [1, "blob-v1"],
      [2, "blob-v1-suite-2"],
    ] as [Suite, string][]) {
      const { open, refuse } = read<{ open: BlobVector[]; refuse: BlobVector[] }>(file);
      for (const vector of open) {
        const reader = { use: <T>(use: (key: Uint8Array) => T): T => use(bytes(vector.l3)) };
        const context = encodeContext(vector.context);
        const plaintext = bytes((vector.l4 ?? vector.value)!);
        const opened = createCipher({ adapter: adapter() })
          .begin(vector, reader)
          .unwrap(parseBlob(bytes(vector.blob)), context);
        expectEqual(hex(opened), hex(plaintext), `${name} opens ${vector.name}`);
        const draws = [bytes(vector.salt), bytes(vector.nonce)];
        const known = createCipher({ adapter: adapter((target) => target.set(draws.shift()!)) });
        expectEqual(
          hex(known.begin(vector, reader).wrap(plaintext, context, suite)),
          vector.blob,
          `${name} makes ${vector.name}`,
        );
        count++;
      }
      for (const vector of refuse) {
        let code = "opened";
        try {
          const parsed = parseBlob(bytes(vector.blob));
          const reader = { use: <T>(use: (key: Uint8Array) => T): T => use(bytes(vector.l3)) };
          createCipher({ adapter: adapter() }).begin(parsed, reader).unwrap(parsed, encodeContext(vector.context));
        } catch (error) {
          if (!(error instanceof OperationError)) throw error;
          code = error.code;
        }
        expectEqual(code, vector.code, `${name} refuses ${vector.name}`);
        count++;
      }
    }
    const nist = read<{ encrypt: GcmVector[]; decrypt: GcmVector[] }>("nist-gcm-256");
    const wycheproof = read<{ vectors: GcmVector[] }>("wycheproof-aes-256-gcm");
    for (const vector of [...nist.encrypt, ...nist.decrypt, ...wycheproof.vectors]) {
      const { key, nonce, aad, ciphertext, tag, plaintext, valid = true } = vector;
      if (ciphertext === "" || tag.length !== 32) continue;
      const derived = (adapter() as NodeAdapter).keyOf(bytes(key), new Uint8Array(0));
      const opened = derived.open(bytes(nonce + ciphertext + tag), 0, 12, bytes(aad), 0);
      expectEqual(hex(opened), valid ? plaintext : null, `${name} and GCM's ${key}`);
      derived.close();
      count++;
    }
    held[name] = count;
  }
  held.sealedFiles = sealedFiles();
  held.crossings = cross(3_000, 20_260_102).opened;
  return held;
}

interface SealedFileVector {
  readonly content_length: number;
  readonly data_key: string;
  readonly header: string;
  readonly file_sha256: string;
}

function sealedFiles(): number {
  const { files } = read<{ files: SealedFileVector[] }>("sealed-file-v2");
  for (const file of files) {
    const content = new Uint8Array(file.content_length).map((_, index) => index % 251);
    const { header, stream } = ChunkStream.seal(bytes(file.data_key), readSealedHeader(bytes(file.header)).wrapped);
    expectEqual(hex(header), file.header, "a sealed file's header");
    const hash = createHash("sha256").update(header);
    const chunks = Math.max(1, Math.ceil(content.length / CHUNK_LENGTH));
    for (let chunk = 0; chunk < chunks; chunk++) {
      const part = content.subarray(chunk * CHUNK_LENGTH, (chunk + 1) * CHUNK_LENGTH);
      for (const sealed of stream.seal(part, chunk === chunks - 1)) hash.update(sealed);
    }
    expectEqual(hash.digest("hex"), file.file_sha256, "a sealed file");
  }
  return files.length;
}

if (import.meta.main) console.log(JSON.stringify(allVectors()));
