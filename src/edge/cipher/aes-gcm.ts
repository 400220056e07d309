/**
 * Suite 1: HKDF-SHA-256, AES-256-GCM, committing (blob-format.md). The sessions here are the hot path: every wrap and
 * unwrap runs through them, synchronously.
 */
import { CryptoEdgeError } from "../../base/errors.ts";
import {
  COMMITMENT_LENGTH,
  encodeIdentity,
  identityLength,
  NONCE_LENGTH,
  SALT_LENGTH,
  type ServiceKeyIdentity,
  TAG_LENGTH,
  type WrappedKey,
} from "./blob.ts";
import type { Cipher, ServiceKeyReader, WrappingSession } from "./cipher.ts";
import { GcmKey, type KeyDeriver } from "./gcm-key.ts";
import { deriveWrappingKey, WRAPPING_KEY_LENGTH } from "./key-derivation.ts";

/** "Rules for a writer": a salt serves at most 2^30 blobs. */
const BLOBS_PER_SALT = 2 ** 30;
/** How many salts' derived keys a session keeps for opening; the oldest goes. */
const OPENING_KEYS_MAX = 1024;

export interface AesGcmOptions {
  /** Fills a buffer with random bytes; the operating system's CSPRNG unless a test needs a known salt and nonce. */
  readonly fillRandom?: (bytes: Uint8Array) => void;
  readonly blobsPerSalt?: number;
  readonly openingKeysMax?: number;
  /** Told after derived keys were wiped, when the crypto library's own copies of them are still to be overwritten. */
  readonly onWiped?: () => void;
}

export function createAesGcmCipher(options: AesGcmOptions = {}): Cipher {
  const settings: Required<AesGcmOptions> = {
    fillRandom: options.fillRandom ?? ((bytes) => crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>)),
    blobsPerSalt: options.blobsPerSalt ?? BLOBS_PER_SALT,
    openingKeysMax: options.openingKeysMax ?? OPENING_KEYS_MAX,
    onWiped: options.onWiped ?? (() => {}),
  };
  return {
    name: "HKDF-SHA-256, AES-256-GCM, committing",
    begin: (identity, serviceKey) => new AesGcmSession(identity, serviceKey, settings),
  };
}

/** Nothing here waits, so one nonce in work serves every session; it is no secret. */
const NONCE = new Uint8Array(NONCE_LENGTH);

class AesGcmSession implements WrappingSession, KeyDeriver {
  readonly #identity: ServiceKeyIdentity;
  readonly #serviceKey: ServiceKeyReader;
  readonly #settings: Required<AesGcmOptions>;
  readonly #saltOffset: number;
  readonly #nonceOffset: number;
  /**
   * By the first four bytes of the salt, so that a look-up makes no string; the rest is compared. Salts are random: two
   * that begin alike only cost a derivation.
   */
  #openingKeys: Map<number, GcmKey> | undefined;
  /** Undefined until the first wrap, and once wiped. */
  #wrapping: GcmKey | undefined;
  #wrapped = 0;
  #isWiped = false;

  constructor(identity: ServiceKeyIdentity, serviceKey: ServiceKeyReader, settings: Required<AesGcmOptions>) {
    this.#identity = identity;
    this.#serviceKey = serviceKey;
    this.#settings = settings;
    this.#saltOffset = identityLength(identity);
    this.#nonceOffset = this.#saltOffset + SALT_LENGTH;
  }

  wrap(dataKey: Uint8Array, context: Uint8Array): Uint8Array {
    if (this.#wrapping === undefined || this.#wrapped === this.#settings.blobsPerSalt) this.#drawSalt();
    const wrapping = this.#wrapping!;
    const { header } = wrapping;
    this.#wrapped++;
    const blob = new Uint8Array(header.length + dataKey.length + TAG_LENGTH);
    blob.set(header);
    this.#settings.fillRandom(NONCE);
    blob.set(NONCE, this.#nonceOffset);
    wrapping.encrypt(blob, context, dataKey, header.length);
    return blob;
  }

  unwrap(wrapped: WrappedKey, context: Uint8Array): Uint8Array {
    if (this.#isWiped) throw new Error("This wrapping session was wiped.");
    const { bytes, saltOffset } = wrapped;
    // What this session wrapped itself, under the salt that it still wraps under.
    const wrapping = this.#wrapping;
    if (wrapping !== undefined && isSalt(wrapping.header, bytes, saltOffset)) {
      return this.#open(wrapping, wrapped, context);
    }
    const saltStart = startOfSalt(bytes, saltOffset);
    const candidate = this.#openingKeys?.get(saltStart);
    if (candidate !== undefined && isSalt(candidate.header, bytes, saltOffset)) {
      return this.#open(candidate, wrapped, context);
    }
    const derived = this.#derive(bytes.slice(saltOffset, wrapped.nonceOffset));
    try {
      const dataKey = this.#open(derived, wrapped, context);
      // "Cache a derived key only after a blob has opened under it."
      this.#keepForOpening(saltStart, derived);
      return dataKey;
    } catch (error) {
      derived.close();
      throw error;
    }
  }

  #open(derived: GcmKey, wrapped: WrappedKey, context: Uint8Array): Uint8Array {
    const { bytes, nonceOffset, commitmentOffset, ciphertextOffset } = wrapped;
    const { header } = derived;
    let difference = header.length ^ ciphertextOffset;
    for (let index = 0; index < nonceOffset; index++) difference |= header[index]! ^ bytes[index]!;
    for (let index = commitmentOffset; index < ciphertextOffset; index++) difference |= header[index]! ^ bytes[index]!;
    if (difference !== 0) throw decryptionFailed();
    const dataKey = derived.decrypt(bytes, context, ciphertextOffset);
    if (dataKey === undefined) throw decryptionFailed();
    return dataKey;
  }

  wipe(): void {
    this.#isWiped = true;
    for (const opening of this.#openingKeys?.values() ?? []) opening.close();
    this.#openingKeys = undefined;
    this.#wrapping?.close();
    this.#wrapping = undefined;
    this.#settings.onWiped();
  }

  #drawSalt(): void {
    if (this.#isWiped) throw new Error("This wrapping session was wiped.");
    const salt = new Uint8Array(SALT_LENGTH);
    this.#settings.fillRandom(salt);
    this.#wrapping?.close();
    this.#wrapping = this.#derive(salt);
    this.#wrapped = 0;
  }

  #derive(salt: Uint8Array): GcmKey {
    const header = new Uint8Array(this.#nonceOffset + NONCE_LENGTH + COMMITMENT_LENGTH);
    header.set(encodeIdentity(this.#identity));
    header.set(salt, this.#saltOffset);
    const derived = this.deriveFor(header);
    copy(derived, WRAPPING_KEY_LENGTH, header, this.#nonceOffset + NONCE_LENGTH, COMMITMENT_LENGTH);
    const gcm = new GcmKey(this, header, this.#nonceOffset);
    gcm.open(derived);
    return gcm;
  }

  /** K, and the commitment behind it, for the salt in `header`. */
  deriveFor(header: Uint8Array): Uint8Array {
    const [identity, salt] = [header.slice(0, this.#saltOffset), header.slice(this.#saltOffset, this.#nonceOffset)];
    return this.#serviceKey.use((serviceKey) => deriveWrappingKey(serviceKey, salt, identity));
  }

  #keepForOpening(saltStart: number, derived: GcmKey): void {
    this.#openingKeys ??= new Map();
    const alike = this.#openingKeys.get(saltStart);
    if (alike !== undefined) {
      alike.close();
    } else if (this.#openingKeys.size >= this.#settings.openingKeysMax) {
      const [oldest, opening] = this.#openingKeys.entries().next().value!;
      opening.close();
      this.#openingKeys.delete(oldest);
    }
    this.#openingKeys.set(saltStart, derived);
  }
}

function startOfSalt(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 24) | (bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8) | bytes[offset + 3]!;
}

function isSalt(header: Uint8Array, bytes: Uint8Array, offset: number): boolean {
  for (let index = offset; index < offset + SALT_LENGTH; index++) if (header[index] !== bytes[index]) return false;
  return true;
}

function copy(from: Uint8Array, fromOffset: number, to: Uint8Array, toOffset: number, length: number): void {
  for (let index = 0; index < length; index++) to[toOffset + index] = from[fromOffset + index]!;
}

function decryptionFailed(): CryptoEdgeError {
  return new CryptoEdgeError(
    "decryption_failed",
    "The wrapped key does not open: it was altered, or the context is not the one given at its creation.",
  );
}
