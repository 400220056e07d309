/**
 * The adapter over `node:crypto`: it works wherever the edge does. A GCM context of that library serves one message, so each
 * message makes one; K is kept here between messages, in ordinary memory (docs/security-model.md, "Where a key is").
 */
import { createCipheriv, createDecipheriv, timingSafeEqual } from "node:crypto";
import { allocateSecret, wipe } from "../../base/wipe.ts";
import { COMMITMENT_LENGTH, NONCE_LENGTH, TAG_LENGTH } from "./blob.ts";
import type { CipherAdapter, DerivedKey, ServiceKeyReader, TakeMemory } from "./cipher.ts";
import { DERIVED_LENGTH, hkdfSha256, WRAPPING_KEY_LENGTH } from "./key-derivation.ts";
import { RandomPool } from "./random-pool.ts";

const ALGORITHM = "aes-256-gcm";
const TAG = { authTagLength: TAG_LENGTH } as const;

/** Where nothing better is given: the runtime's heap. */
const onHeap: TakeMemory = (lengthBytes) => {
  const bytes = allocateSecret(lengthBytes);
  return { bytes, close: () => wipe(bytes) };
};

/** `takeMemory` is for the random bytes drawn ahead. `fillRandom` stands for the operating system's generator in tests. */
export function createNodeAdapter(
  fillRandom?: (bytes: Uint8Array) => void,
  takeMemory: TakeMemory = onHeap,
): NodeAdapter {
  return new NodeAdapter(fillRandom === undefined ? new RandomPool(takeMemory) : knownRandom(fillRandom));
}

type RandomSource = Pick<RandomPool, "take" | "discard" | "close">;

function knownRandom(fill: (bytes: Uint8Array) => void): RandomSource {
  return {
    take: (target, offset = 0, length = target.length - offset) => fill(target.subarray(offset, offset + length)),
    discard() {},
    close() {},
  };
}

export class NodeAdapter implements CipherAdapter {
  readonly name = "node";
  readonly library = libraryName();
  readonly fips = false;
  readonly #random: RandomSource;

  constructor(random: RandomSource) {
    this.#random = random;
  }

  fillRandom(target: Uint8Array): void {
    this.#random.take(target);
  }

  deriveKey(
    serviceKey: ServiceKeyReader,
    salt: Uint8Array,
    info: Uint8Array,
    expected?: Uint8Array,
  ): DerivedKey | undefined {
    const derived = serviceKey.use((key) => hkdfSha256(key, salt, info, DERIVED_LENGTH));
    try {
      const commitment = derived.slice(WRAPPING_KEY_LENGTH, WRAPPING_KEY_LENGTH + COMMITMENT_LENGTH);
      if (expected !== undefined && !timingSafeEqual(commitment, expected)) return undefined;
      return this.keyOf(derived, commitment);
    } finally {
      wipe(derived);
    }
  }

  /** The key in the first 32 bytes, which stay the caller's: published vectors give keys that nothing derives. */
  keyOf(bytes: Uint8Array, commitment: Uint8Array): NodeKey {
    const key = allocateSecret(WRAPPING_KEY_LENGTH);
    for (let index = 0; index < WRAPPING_KEY_LENGTH; index++) key[index] = bytes[index]!;
    return new NodeKey(key, commitment, this.#random);
  }

  reseed(): void {
    this.#random.discard();
  }

  close(): void {
    this.#random.close();
  }
}

class NodeKey implements DerivedKey {
  readonly commitment: Uint8Array;
  #key: Uint8Array | undefined;
  readonly #random: RandomSource;

  constructor(key: Uint8Array, commitment: Uint8Array, random: RandomSource) {
    this.#key = key;
    this.commitment = commitment;
    this.#random = random;
  }

  /** `authenticated`: how much of the header is; all of it, but for published vectors, whose nonces are not. */
  seal(
    header: Uint8Array,
    nonceOffset: number,
    context: Uint8Array,
    plaintext: Uint8Array,
    authenticated = header.length,
  ): Uint8Array {
    const blob = new Uint8Array(header.length + plaintext.length + TAG_LENGTH);
    blob.set(header);
    this.#random.take(blob, nonceOffset, NONCE_LENGTH);
    const start = blob.subarray(0, authenticated);
    const nonce = blob.subarray(nonceOffset, nonceOffset + NONCE_LENGTH);
    const cipher = createCipheriv(ALGORITHM, this.#openKey(), nonce, TAG);
    cipher.setAAD(context.length === 0 ? start : joined(start, context));
    blob.set(cipher.update(plaintext), header.length);
    cipher.final();
    blob.set(cipher.getAuthTag(), header.length + plaintext.length);
    return blob;
  }

  sealRandom(
    header: Uint8Array,
    nonceOffset: number,
    context: Uint8Array,
    length: number,
    plaintext?: Uint8Array,
  ): Uint8Array {
    const dataKey = plaintext ?? allocateSecret(length);
    if (dataKey.length !== length) throw new RangeError("The buffer for the data key is not as long as the data key.");
    this.#random.take(dataKey);
    try {
      return this.seal(header, nonceOffset, context, dataKey);
    } finally {
      if (plaintext === undefined) wipe(dataKey);
    }
  }

  open(
    blob: Uint8Array,
    nonceOffset: number,
    ciphertextOffset: number,
    context: Uint8Array,
    authenticated = ciphertextOffset,
  ): Uint8Array | undefined {
    const tagOffset = blob.length - TAG_LENGTH;
    const nonce = blob.subarray(nonceOffset, nonceOffset + NONCE_LENGTH);
    const decipher = createDecipheriv(ALGORITHM, this.#openKey(), nonce, TAG);
    const start = blob.subarray(0, authenticated);
    decipher.setAAD(context.length === 0 ? start : joined(start, context));
    decipher.setAuthTag(blob.subarray(tagOffset));
    const plaintext = decipher.update(blob.subarray(ciphertextOffset, tagOffset));
    try {
      decipher.final();
    } catch {
      wipe(plaintext);
      return undefined;
    }
    return new Uint8Array(plaintext.buffer, plaintext.byteOffset, plaintext.length);
  }

  close(): void {
    if (this.#key !== undefined) wipe(this.#key);
    this.#key = undefined;
  }

  #openKey(): Uint8Array {
    if (this.#key === undefined) throw new Error("This wrapping key was wiped.");
    return this.#key;
  }
}

function joined(start: Uint8Array, end: Uint8Array): Uint8Array {
  const whole = new Uint8Array(start.length + end.length);
  whole.set(start);
  whole.set(end, start.length);
  return whole;
}

function libraryName(): string {
  const { bun, deno, boringssl, openssl } = process.versions as Record<string, string | undefined>;
  if (bun !== undefined)
    return `BoringSSL of Bun ${bun}${boringssl === undefined ? "" : ` (${boringssl.slice(0, 12)})`}`;
  if (deno !== undefined) return `the crypto of Deno ${deno}`;
  return `OpenSSL ${openssl ?? "of this runtime"}`;
}
