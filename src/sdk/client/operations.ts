/** What a client is asked for, and what it gives back. */
import type { EncryptionContext } from "../../edge/cipher/context.ts";
import type { CallOptions } from "./caller.ts";
import type { CryptoEdgeError } from "./edge-error.ts";
import type { RevocationListener, RevocationWatch } from "./revocations.ts";

/** What a data key is asked for: whose service key wraps it, what it is bound to, how long it is. */
export interface CreateKeyOptions {
  readonly tenant: string;
  /** `default` unless given. */
  readonly service?: string;
  readonly context?: EncryptionContext;
  /** Bytes of the data key: 16, 32 (unless given) or 64. */
  readonly length?: 16 | 32 | 64;
  /** Whether the data key is wanted too, not only its wrapped form. */
  readonly plaintext?: boolean;
}

/** A wrapped key or value that is to be opened or rewrapped. The client reads the bytes during the call and keeps none. */
export interface WrappedKeyOptions {
  /** As it was returned. */
  readonly wrapped: Uint8Array;
  /** That of the creation, equal. */
  readonly context?: EncryptionContext;
}

/** A small value that the edge itself encrypts. The client reads its bytes during the call; whoever calls wipes them. */
export interface EncryptValueOptions {
  readonly tenant: string;
  /** `default` unless given. */
  readonly service?: string;
  /** 1 to 65,536 bytes. */
  readonly value: Uint8Array;
  readonly context?: EncryptionContext;
}

/** A new data key: wrapped to be stored, and plain if it was asked for. */
export interface ClientCreatedKey {
  /** Store it beside the data. */
  readonly wrapped: Uint8Array;
  readonly version: number;
  /** The data key, if asked for; yours to wipe. */
  readonly plaintext: Uint8Array | undefined;
  /** How long the data key may be kept, in seconds: 0 (or undefined, where the edge said nothing) for not at all. */
  readonly cacheSeconds?: number | undefined;
}

/** An opened data key, and the service key that had wrapped it. */
export interface ClientOpenedKey {
  /** The data key; yours to wipe. */
  readonly plaintext: Uint8Array;
  readonly tenant: string;
  readonly service: string;
  readonly version: number;
  /** As of a created key. */
  readonly cacheSeconds?: number | undefined;
}

/** The same data key or value under the active version; its plaintext has not left the edge. */
export interface ClientRewrappedKey {
  readonly wrapped: Uint8Array;
  /** The active version, under which it is wrapped now. */
  readonly version: number;
  /** Whether it was under that version already: then the old one can stay. */
  readonly wasActive: boolean;
}

/** An opened value, and the service key that had encrypted it. Whoever called wipes `value`. */
export interface ClientOpenedValue {
  readonly value: Uint8Array;
  readonly tenant: string;
  readonly service: string;
  readonly version: number;
}

/**
 * Calls throw {CryptoEdgeError} with the edge's code, or `lease_unavailable` when no edge answers in time, and the signal's reason when
 * they are aborted. Asking again does no harm, since an edge stores nothing.
 */
export interface Client {
  createKey(options: CreateKeyOptions, call?: CallOptions): Promise<ClientCreatedKey>;
  /** Any number: it is split into requests of 10,000. */
  createKeys(options: CreateKeyOptions, count: number, call?: CallOptions): Promise<ClientCreatedKey[]>;
  decryptKey(options: WrappedKeyOptions, call?: CallOptions): Promise<ClientOpenedKey>;
  /** A key or its own error for each, in the order asked; any number. */
  decryptKeys(items: readonly WrappedKeyOptions[], call?: CallOptions): Promise<(ClientOpenedKey | CryptoEdgeError)[]>;
  /** Wraps the same data key (or value) under the active version; it is not shown. */
  rewrapKey(options: WrappedKeyOptions, call?: CallOptions): Promise<ClientRewrappedKey>;
  rewrapKeys(
    items: readonly WrappedKeyOptions[],
    call?: CallOptions,
  ): Promise<(ClientRewrappedKey | CryptoEdgeError)[]>;
  /** Encrypts a small value by the edge itself: for what has no place for a data key. */
  encryptValue(options: EncryptValueOptions, call?: CallOptions): Promise<{ wrapped: Uint8Array; version: number }>;
  decryptValue(options: WrappedKeyOptions, call?: CallOptions): Promise<ClientOpenedValue>;
  /**
   * Hears of revocations that concern this caller, until closed; for whoever keeps data keys. It begins with what is revoked
   * already, connects again by itself, and does not keep the process alive.
   */
  watchRevocations(listener: RevocationListener): RevocationWatch;
  /** Ends the connections that are kept. */
  close(): void;
}
