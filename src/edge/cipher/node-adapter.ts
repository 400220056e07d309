/**
 * The adapter over `node:crypto`: it works wherever the edge does. A GCM context of that library serves one message, so each
 * message makes one; K is kept here between messages, in ordinary memory (docs/security-model.md, "Where a key is").
 */
import { createCipheriv, createDecipheriv, timingSafeEqual } from "node:crypto";
import { allocateSecret, wipe } from "../../base/wipe.ts";
import { NONCE_LENGTH, TAG_LENGTH, VALUE_BLOB_LENGTH_MAX, VALUE_LENGTH_MAX } from "./blob.ts";
import type { CipherAdapter, DerivedKey, ServiceKeyReader, TakeMemory } from "./cipher.ts";
import { CONTEXT_BYTES_MAX } from "./context.ts";
import { DERIVED_LENGTH, hkdfSha256, WRAPPING_KEY_LENGTH } from "./key-derivation.ts";
import { RandomPool } from "./random-pool.ts";

const ALGORITHM = "aes-256-gcm";
const TAG = { authTagLength: TAG_LENGTH } as const;
const VIEWS_MAX = 512;
const HEADER_LENGTH_MAX = VALUE_BLOB_LENGTH_MAX - VALUE_LENGTH_MAX - TAG_LENGTH;

/** A buffer, and the views of its beginnings: those of a few hundred bytes are kept. */
class Views {
  readonly bytes: Uint8Array;
  readonly #views: (Uint8Array | undefined)[] = new Array(VIEWS_MAX).fill(undefined);

  constructor(length: number) {
    this.bytes = new Uint8Array(new ArrayBuffer(length));
  }

  first(length: number): Uint8Array {
    let view = this.#views[length];
    if (view === undefined) {
      view = this.bytes.subarray(0, length);
      if (length < VIEWS_MAX) this.#views[length] = view;
    }
    return view;
  }

  /** The first `length` bytes, with those of `from` from `offset` on put in. */
  filled(from: Uint8Array, offset: number, length: number): Uint8Array {
    if (length >= VIEWS_MAX) return from.subarray(offset, offset + length);
    const { bytes } = this;
    for (let index = 0; index < length; index++) bytes[index] = from[offset + index]!;
    return this.first(length);
  }
}

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
      const commitment = derived.slice(WRAPPING_KEY_LENGTH);
      if (expected !== undefined && !timingSafeEqual(commitment, expected)) return undefined;
      return this.keyOf(derived, commitment);
    } finally {
      wipe(derived);
    }
  }

  /** The key in the first 32 bytes, which stay the caller's: published vectors give keys that nothing derives. */
  keyOf(bytes: Uint8Array, commitment: Uint8Array): NodeKey {
    const key = allocateSecret(WRAPPING_KEY_LENGTH);
    fillFrom(key, bytes, 0);
    return new NodeKey(key, commitment, this.#random);
  }

  reseed(): void {
    this.#random.discard();
  }

  close(): void {
    this.#random.close();
  }
}

/**
 * What goes into the library, in buffers that are used again and again: a view of a small new buffer would cost more than the
 * encryption. Nothing waits here, so one set serves every key. What is secret of it is wiped at once.
 */
/** By their length. */
const DATA_KEYS: Record<number, Uint8Array> = {};
const NONCE = new Uint8Array(NONCE_LENGTH);
const TAG_BYTES = new Uint8Array(TAG_LENGTH);
const ADDITIONAL_DATA = new Views(HEADER_LENGTH_MAX + CONTEXT_BYTES_MAX);
const CIPHERTEXT = new Views(VALUE_LENGTH_MAX);

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
    const key = this.#openKey();
    const blob = new Uint8Array(header.length + plaintext.length + TAG_LENGTH);
    blob.set(header);
    this.#random.take(NONCE);
    for (let index = 0; index < NONCE_LENGTH; index++) blob[nonceOffset + index] = NONCE[index]!;
    const cipher = createCipheriv(ALGORITHM, key, NONCE);
    cipher.setAAD(additionalData(blob, authenticated, context));
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
    DATA_KEYS[length] ??= allocateSecret(length);
    const dataKey = plaintext ?? DATA_KEYS[length];
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
    const key = this.#openKey();
    const tagOffset = blob.length - TAG_LENGTH;
    const length = tagOffset - ciphertextOffset;
    fillFrom(NONCE, blob, nonceOffset);
    fillFrom(TAG_BYTES, blob, tagOffset);
    const decipher = createDecipheriv(ALGORITHM, key, NONCE, TAG);
    decipher.setAAD(additionalData(blob, authenticated, context));
    decipher.setAuthTag(TAG_BYTES);
    const decrypted = decipher.update(CIPHERTEXT.filled(blob, ciphertextOffset, length));
    try {
      decipher.final();
      const plaintext = new Uint8Array(length);
      plaintext.set(decrypted);
      return plaintext;
    } catch {
      return undefined;
    } finally {
      wipe(decrypted);
    }
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

/** Fills `target` with what is at `offset`: no view is made of what is secret. */
function fillFrom(target: Uint8Array, bytes: Uint8Array, offset: number): void {
  for (let index = 0; index < target.length; index++) target[index] = bytes[offset + index]!;
}

function additionalData(blob: Uint8Array, authenticated: number, context: Uint8Array): Uint8Array {
  const { bytes } = ADDITIONAL_DATA;
  const length = authenticated + context.length;
  if (length > bytes.length) throw new RangeError("No header and context are so long.");
  for (let index = 0; index < authenticated; index++) bytes[index] = blob[index]!;
  if (context.length > 0) bytes.set(context, authenticated);
  return ADDITIONAL_DATA.first(length);
}

function libraryName(): string {
  const { bun, deno, boringssl, openssl } = process.versions as Record<string, string | undefined>;
  if (bun !== undefined)
    return `BoringSSL of Bun ${bun}${boringssl === undefined ? "" : ` (${boringssl.slice(0, 12)})`}`;
  if (deno !== undefined) return `the crypto of Deno ${deno}`;
  return `OpenSSL ${openssl ?? "of this runtime"}`;
}
