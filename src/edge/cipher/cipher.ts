/**
 * The cipher: wraps and unwraps data keys (L4) under a service key (L3). The port; its adapter is AES-GCM beside it.
 */
import type { ServiceKeyIdentity, WrappedKey } from "./blob.ts";

export interface Cipher {
  /** What status calls it, such as `HKDF-SHA-256, AES-256-GCM`. */
  readonly name: string;

  /**
   * Begins a wrapping session: this process's use of one L3 version, with its own derived key. Reads the L3 now and
   * whenever a blob of another salt is opened; never keeps or copies it.
   */
  begin(identity: ServiceKeyIdentity, serviceKey: ServiceKeyReader): WrappingSession;
}

/** A way to an L3 that does not give it away: key memory implements it. */
export interface ServiceKeyReader {
  /** Calls `reader` with the 32 bytes, valid inside the call only. Throws once the key has been released. */
  use<T>(reader: (serviceKey: Uint8Array) => T): T;
}

/** One L3 version in use. Synchronous throughout: this is the hot path. */
export interface WrappingSession {
  /**
   * Wraps a data key of 16, 32 or 64 bytes and returns a new blob, the caller's. `context` is encoded
   * (`encodeContext`). Both buffers stay the caller's, who wipes the data key.
   */
  wrap(dataKey: Uint8Array, context: Uint8Array): Uint8Array;

  /**
   * Opens a blob of this session's tenant, service and version and returns the data key in a new buffer, which the
   * caller owns and wipes.
   *
   * @throws {CryptoEdgeError} `decryption_failed`: tampered with, or another context; one error for both.
   */
  unwrap(wrapped: WrappedKey, context: Uint8Array): Uint8Array;

  /** Wipes every derived key. Afterwards `wrap` and `unwrap` throw. May be called twice. */
  wipe(): void;
}
