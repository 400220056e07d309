/**
 * Suite 1: HKDF-SHA-256, AES-256-GCM, committing (blob-format.md). The sessions here are the hot path: every wrap and
 * unwrap runs through them, synchronously.
 */
import { createCipheriv, createDecipheriv, timingSafeEqual } from "node:crypto";
import { CryptoEdgeError } from "../errors.ts";
import { wipe } from "../wipe.ts";
import {
  COMMITMENT_LENGTH,
  encodeIdentity,
  NONCE_LENGTH,
  SALT_LENGTH,
  type ServiceKeyIdentity,
  TAG_LENGTH,
  type WrappedKey,
} from "./blob.ts";
import type { Cipher, ServiceKeyReader, WrappingSession } from "./cipher.ts";
import { deriveWrappingKey, WRAPPING_KEY_LENGTH } from "./key-derivation.ts";

/** "Rules for a writer": a salt serves at most 2^30 blobs. */
const BLOBS_PER_SALT = 2 ** 30;
/** How many salts' derived keys a session keeps for opening; the oldest goes. */
const OPENING_KEYS_MAX = 1024;

const GCM_OPTIONS = { authTagLength: TAG_LENGTH } as const;

export interface AesGcmOptions {
  /** Fills a buffer with random bytes; the operating system's CSPRNG unless a test needs a known salt and nonce. */
  readonly fillRandom?: (bytes: Uint8Array) => void;
  readonly blobsPerSalt?: number;
  readonly openingKeysMax?: number;
}

export function createAesGcmCipher(options: AesGcmOptions = {}): Cipher {
  const settings: Required<AesGcmOptions> = {
    fillRandom: options.fillRandom ?? ((bytes) => crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>)),
    blobsPerSalt: options.blobsPerSalt ?? BLOBS_PER_SALT,
    openingKeysMax: options.openingKeysMax ?? OPENING_KEYS_MAX,
  };
  return {
    name: "HKDF-SHA-256, AES-256-GCM, committing",
    begin: (identity, serviceKey) => new AesGcmSession(identity, serviceKey, settings),
  };
}

/** A wrapping key K and its commitment C, derived for one salt. */
interface DerivedKey {
  readonly key: Uint8Array;
  readonly commitment: Uint8Array;
}

class AesGcmSession implements WrappingSession {
  readonly #identity: Uint8Array;
  readonly #serviceKey: ServiceKeyReader;
  readonly #settings: Required<AesGcmOptions>;
  /** Everything of a blob before its ciphertext, the nonce's place being filled for each: the additional data. */
  readonly #header: Uint8Array;
  readonly #nonce = new Uint8Array(NONCE_LENGTH);
  readonly #saltOffset: number;
  readonly #nonceOffset: number;
  readonly #openingKeys = new Map<string, DerivedKey>();
  /** Undefined until the first wrap, and once wiped. */
  #wrapping: DerivedKey | undefined;
  #wrapped = 0;
  #isWiped = false;

  constructor(identity: ServiceKeyIdentity, serviceKey: ServiceKeyReader, settings: Required<AesGcmOptions>) {
    this.#identity = encodeIdentity(identity);
    this.#serviceKey = serviceKey;
    this.#settings = settings;
    this.#saltOffset = this.#identity.length;
    this.#nonceOffset = this.#saltOffset + SALT_LENGTH;
    this.#header = new Uint8Array(this.#nonceOffset + NONCE_LENGTH + COMMITMENT_LENGTH);
    this.#header.set(this.#identity);
  }

  wrap(dataKey: Uint8Array, context: Uint8Array): Uint8Array {
    if (this.#wrapping === undefined || this.#wrapped === this.#settings.blobsPerSalt) this.#drawSalt();
    const wrapping = this.#wrapping!;
    this.#wrapped++;
    const header = this.#header;
    const nonce = this.#nonce;
    this.#settings.fillRandom(nonce);
    header.set(nonce, this.#nonceOffset);

    const cipher = createCipheriv("aes-256-gcm", wrapping.key, nonce, GCM_OPTIONS);
    cipher.setAAD(context.length === 0 ? header : concatenate(header, context));
    const ciphertext = cipher.update(dataKey);
    cipher.final();
    const blob = new Uint8Array(header.length + ciphertext.length + TAG_LENGTH);
    blob.set(header);
    blob.set(ciphertext, header.length);
    blob.set(cipher.getAuthTag(), header.length + ciphertext.length);
    return blob;
  }

  unwrap(wrapped: WrappedKey, context: Uint8Array): Uint8Array {
    if (this.#isWiped) throw new Error("This wrapping session was wiped.");
    const { bytes } = wrapped;
    const salt = bytes.subarray(wrapped.saltOffset, wrapped.nonceOffset);
    const saltText = Buffer.from(salt.buffer, salt.byteOffset, salt.length).toString("latin1");
    const known = this.#openingKeys.get(saltText);
    const derived = known ?? this.#derive(salt);

    let opened = false;
    try {
      const commitment = bytes.subarray(wrapped.commitmentOffset, wrapped.ciphertextOffset);
      if (!timingSafeEqual(commitment, derived.commitment)) throw decryptionFailed();
      const nonce = bytes.subarray(wrapped.nonceOffset, wrapped.commitmentOffset);
      const decipher = createDecipheriv("aes-256-gcm", derived.key, nonce, GCM_OPTIONS);
      const header = bytes.subarray(0, wrapped.ciphertextOffset);
      decipher.setAAD(context.length === 0 ? header : concatenate(header, context));
      decipher.setAuthTag(bytes.subarray(wrapped.tagOffset));
      const dataKey = decipher.update(bytes.subarray(wrapped.ciphertextOffset, wrapped.tagOffset));
      try {
        decipher.final();
      } catch {
        wipe(dataKey);
        throw decryptionFailed();
      }
      opened = true;
      return dataKey;
    } finally {
      // "Cache a derived key only after a blob has opened under it."
      if (known === undefined) {
        if (opened) this.#keepForOpening(saltText, derived);
        else wipeDerived(derived);
      }
    }
  }

  wipe(): void {
    this.#isWiped = true;
    for (const derived of this.#openingKeys.values()) wipeDerived(derived);
    this.#openingKeys.clear();
    if (this.#wrapping !== undefined) wipeDerived(this.#wrapping);
    this.#wrapping = undefined;
  }

  #drawSalt(): void {
    if (this.#isWiped) throw new Error("This wrapping session was wiped.");
    const salt = this.#header.subarray(this.#saltOffset, this.#nonceOffset);
    this.#settings.fillRandom(salt);
    if (this.#wrapping !== undefined) wipeDerived(this.#wrapping);
    this.#wrapping = this.#derive(salt);
    this.#header.set(this.#wrapping.commitment, this.#nonceOffset + NONCE_LENGTH);
    this.#wrapped = 0;
  }

  #derive(salt: Uint8Array): DerivedKey {
    const derived = this.#serviceKey.use((serviceKey) => deriveWrappingKey(serviceKey, salt, this.#identity));
    return { key: derived.subarray(0, WRAPPING_KEY_LENGTH), commitment: derived.subarray(WRAPPING_KEY_LENGTH) };
  }

  #keepForOpening(saltText: string, derived: DerivedKey): void {
    if (this.#openingKeys.size >= this.#settings.openingKeysMax) {
      const [oldest, oldestDerived] = this.#openingKeys.entries().next().value!;
      wipeDerived(oldestDerived);
      this.#openingKeys.delete(oldest);
    }
    this.#openingKeys.set(saltText, derived);
  }
}

function wipeDerived(derived: DerivedKey): void {
  wipe(derived.key);
  wipe(derived.commitment);
}

function concatenate(first: Uint8Array, second: Uint8Array): Uint8Array {
  const joined = new Uint8Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}

function decryptionFailed(): CryptoEdgeError {
  return new CryptoEdgeError(
    "decryption_failed",
    "The wrapped key does not open: it was altered, or the context is not the one given at its creation.",
  );
}
