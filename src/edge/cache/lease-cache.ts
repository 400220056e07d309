/**
 * The lease cache: the port that the operations and the revocation guard see. Adapters: the TTL lease cache beside it.
 */
import type { WrappingSession } from "../cipher/cipher.ts";
import type { LeasableState } from "../key-source/key-source.ts";

/** What the operations ask of the cache. */
export interface LeaseCache {
  /**
   * The active version of a service key, to wrap under. On a hit the answer is the value itself, synchronously: no
   * promise, no I/O. On a miss it is a promise, shared by all who wait for the same key.
   *
   * Use the result at once (in the same turn, or right after the await): it is valid now, not later.
   *
   * @throws {OperationError} (or rejects with) `key_not_found`; `key_revoked`; `access_denied`, where the source does not
   * let this edge have the key; `rate_limited`, when too many keys asked for were not there; `lease_unavailable`.
   */
  active(tenant: string, service: string): LeasedVersion | Promise<LeasedVersion>;

  /** The given version, to unwrap under; fetched alone, once, when the lease lacks it. Otherwise as `active`. */
  version(tenant: string, service: string, version: number): LeasedVersion | Promise<LeasedVersion>;

  /** The versions of the lease that is held on a service key, whatever their state; none where no lease is held. A copy. */
  versions(tenant: string, service: string): LeaseStatus["versions"];

  /** Wipes every key; nothing is served afterwards. */
  close(): void;
}

/** One L3 version under lease: valid at the moment it was handed out. */
export interface LeasedVersion {
  readonly tenant: string;
  readonly service: string;
  readonly version: number;
  readonly state: LeasableState;
  readonly session: WrappingSession;
}

export interface LeaseStatus {
  readonly tenant: string;
  readonly service: string;
  readonly versions: readonly { readonly version: number; readonly state: LeasableState }[];
  /** Milliseconds to the hard deadline, on whichever clock is nearer to it. */
  readonly remainingMs: number;
  /** The name of the key source that granted it. */
  readonly source: string;
}

/**
 * What the revocation guard asks of the cache: to end leases early. Each call has wiped what it names when it returns.
 */
export interface LeaseControl {
  /** Wipes what the scope names: one version, a whole service, or a whole tenant. Returns how many versions went. */
  revoke(scope: RevocationScope): number;
  /** Forgets refusals that were remembered from the source in the scope: a block was lifted, or a key was made. */
  forget(scope: RevocationScope): void;
  /** Wipes everything held. A lease call in flight at this moment must not be installed either. */
  dropAll(reason: string): void;
  /** Renews one lease in the background, at once, if it is held. */
  renew(tenant: string, service: string): void;
  /** Renews every lease early, in the background, spread and bounded (silence of the transports). */
  renewAll(): void;
}

/** A version, a whole service (no version), or a whole tenant (no service). */
export interface RevocationScope {
  readonly tenant: string;
  readonly service?: string;
  readonly version?: number;
}

/** What the cache asks of the revocation guard, which knows what must not be used. Everything here is synchronous. */
export interface LeaseGate {
  /**
   * Whether a revocation that was applied forbids this version (or, without `version`, the whole service). A blocked
   * key is refused as `key_revoked` from memory, without asking the source.
   */
  isBlocked(tenant: string, service: string, version?: number): boolean;

  /**
   * Whether a lease answered at `revocationSeq` of `log` may be installed. False when a revocation of the same scope with a
   * higher sequence number was applied: the answer is thrown away and asked for again (core-protocol.md, "Revocations").
   * A `log` other than the guard's makes the guard drop every lease first.
   */
  admits(grant: { tenant: string; service: string; log: string | undefined; revocationSeq: number }): boolean;

  /** False while silence forbids serving (`on_silence: fail_closed`). */
  isOpen(): boolean;
}
