/**
 * The two ports of the cipher. `Cipher` is what the lease cache and the operations use: wrapping sessions over service keys (L3).
 * `CipherAdapter` is what a library of cryptography, or a plugin, provides: derivation and AES-256-GCM, nothing of leases,
 * salts or blobs. `createCipher` (sessions.ts) makes the first of the second.
 */
import type { DataKeyLength, ParsedBlob, ServiceKeyIdentity, Suite } from "./blob.ts";

export interface Cipher {
  /** What serves, as status, log and metrics say it. */
  readonly description: CipherDescription;

  /**
   * Begins a wrapping session: this process's use of one L3 version, with wrapping keys of its own. The L3 is read at the first
   * blob of each salt; it is never kept or copied.
   */
  begin(identity: ServiceKeyIdentity, serviceKey: ServiceKeyReader): WrappingSession;

  /**
   * From the next blob on, every session draws another salt, and no random byte drawn before is used: for when this machine
   * may be one of two copies (blob-format.md, "Rules for a writer").
   */
  renew(): void;

  /** Wipes every derived key and what the adapter holds; sessions throw afterwards. May be called twice. */
  close(): void;
}

export interface CipherDescription {
  /** The adapter: `node`, `openssl`, or a plugin's name. */
  readonly adapter: string;
  /** The library and its version, such as `OpenSSL 3.0.22`. */
  readonly library: string;
  /** Whether a FIPS-validated module does the work. */
  readonly fips: boolean;
}

/** A way to an L3 that does not give it away: key memory implements it. */
export interface ServiceKeyReader {
  /** Calls `reader` with the 32 bytes, valid inside the call only. Throws once the key has been released. */
  use<T>(reader: (serviceKey: Uint8Array) => T): T;
}

/**
 * One L3 version in use. Synchronous throughout: this is the hot path. Buffers given in stay the caller's and are not kept;
 * buffers given out are new, and the caller's. `context` is encoded (`encodeContext`).
 */
export interface WrappingSession {
  /**
   * Makes a data key and wraps it (suite 1). Into `plaintext`, where it is given, the data key is copied; else it is
   * nowhere but in the blob.
   */
  createKey(length: DataKeyLength, context: Uint8Array, plaintext?: Uint8Array): Uint8Array;

  /**
   * As `createKey`, of many keys in a row: the blob is not copied, `take` gets it where it lies. The data key too, if it `isTold`; what `take`
   * makes of that is its own to wipe.
   */
  createKeyTo(length: DataKeyLength, context: Uint8Array, isTold: boolean, take: TakeSealed): void;

  /** Wraps a data key of 16, 32 or 64 bytes (suite 1), or encrypts a value of 1 to 65,536 (suite 2). Answers the blob. */
  wrap(plaintext: Uint8Array, context: Uint8Array, suite?: Suite): Uint8Array;

  /**
   * Opens a blob, of either suite, of this session's tenant, service and version. Answers the data key or value.
   *
   * @throws {OperationError} `decryption_failed`: tampered with, or another context; one error for both.
   */
  unwrap(blob: ParsedBlob, context: Uint8Array): Uint8Array;

  /** Wipes every derived key. Afterwards the other methods throw. May be called twice. */
  wipe(): void;
}

/**
 * AES-256-GCM and HKDF-SHA-256 of one library. Every method is synchronous: on a hit nothing may wait.
 *
 * Buffers given in stay the caller's: they are neither changed nor kept, unless said otherwise. An adapter keeps no copy of
 * a service key; copies that it makes of derived keys and of data keys are wiped before the method returns, or, of what a
 * `DerivedKey` needs, when that is closed. An error is thrown for what the caller did wrong (a length, a closed key) and for a
 * defect of the library, and says nothing of keys; a blob that does not open is no error but `undefined`.
 */
export interface CipherAdapter {
  readonly name: string;
  /** The library and its version. */
  readonly library: string;
  readonly fips: boolean;

  /** Fills `target` with random bytes fit for keys; each byte is given out once, and kept nowhere. */
  fillRandom(target: Uint8Array): void;

  /**
   * `okm = HKDF-SHA-256(ikm = serviceKey (32 bytes), salt, info, L = 64)`: K is the first half, the commitment C the other.
   * With `expected` (32 bytes), C is compared with it in constant time, before anything is made of K: where they differ, K
   * is wiped and the answer is undefined.
   */
  deriveKey(
    serviceKey: ServiceKeyReader,
    salt: Uint8Array,
    info: Uint8Array,
    expected?: Uint8Array,
  ): DerivedKey | undefined;

  /** Forgets random bytes drawn ahead, and asks the operating system for a new seed. */
  reseed(): void;

  /** Wipes what the adapter holds. Every `DerivedKey` was closed before. May be called twice. */
  close(): void;
}

/** A wrapping key K, ready for use. `header`: the blob's bytes before the ciphertext, the nonce's 12 bytes at `nonceOffset`. */
export interface DerivedKey {
  /** C, 32 bytes; no secret. */
  readonly commitment: Uint8Array;

  /**
   * Answers a new blob: `header` with a random nonce put in, ciphertext, 16-byte tag. The additional data is that header and
   * `context`. `plaintext` has 1 to 65,536 bytes.
   */
  seal(header: Uint8Array, nonceOffset: number, context: Uint8Array, plaintext: Uint8Array): Uint8Array;

  /** As `seal`, of `length` (16, 32 or 64) new random bytes, which are copied into `plaintext` where it is given. */
  sealRandom(
    header: Uint8Array,
    nonceOffset: number,
    context: Uint8Array,
    length: number,
    plaintext?: Uint8Array,
  ): Uint8Array;

  /**
   * As `sealRandom`, but `take` gets the blob where it lies, and the data key if it `isTold`, which is wiped then. An adapter that makes each
   * blob in a buffer of its own leaves this out.
   */
  sealRandomTo?(
    header: Uint8Array,
    nonceOffset: number,
    context: Uint8Array,
    length: number,
    isTold: boolean,
    take: TakeSealed,
  ): void;

  /** Answers the plaintext in a new buffer, or undefined when the tag does not fit; then nothing of it is left anywhere. */
  open(blob: Uint8Array, nonceOffset: number, ciphertextOffset: number, context: Uint8Array): Uint8Array | undefined;

  /** Wipes K. Afterwards the other methods throw. May be called twice. */
  close(): void;
}

/** Gets a blob and perhaps its data key. Both are good inside the call only, in which nothing else is sealed or opened. */
export type TakeSealed = (blob: Uint8Array, dataKey: Uint8Array | undefined) => void;

/** Takes memory for `lengthBytes`: locked, left out of dumps, at best unreadable to others. Key memory's regions are such. */
export type TakeMemory = (lengthBytes: number) => {
  readonly bytes: Uint8Array;
  /** Wipes the bytes and gives them back. */
  close(): void;
};
