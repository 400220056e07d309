/**
 * Where service keys (L3) come from: the port. Its adapters are the Core over mTLS, and what plugins bring.
 * The conformance kit tests exactly the text of this file.
 */
import { CodedError } from "../../base/errors.ts";
import type { Health } from "../../base/health.ts";

/** Where leases of service keys come from: a Core, an HSM, a file. One for each edge. */
export interface KeySource {
  /** What status, metrics and audit call it. */
  readonly name: string;

  /**
   * Connects, if there is anything to connect. Called once, before the first lease; a rejection stops the edge's start, so a
   * backend that is merely away must not reject. Left out where there is nothing to do.
   */
  start?(): Promise<void>;

  /**
   * Asks for a lease. Without `version`: the active version and, at the source's choice, recent deprecated ones; with
   * it, that version alone.
   *
   * May be called again at any time, concurrently, for the same or other keys: the caller bounds the calls in flight.
   * Once `signal` aborts, the promise must reject soon; an answer that comes later is thrown away.
   *
   * The key buffers of the grant belong to the caller, who copies them into key memory and wipes them. A source keeps
   * no other copy that it can avoid, and never makes a string of one.
   *
   * @throws {KeySourceError} and nothing else.
   */
  lease(request: LeaseRequest, signal: AbortSignal): Promise<LeaseGrant>;

  /** How it stands, from memory. Left out where the last lease call says it all. */
  health?(): Health;

  /** Lets go of connections and secrets. Calls in flight reject. May be called twice. */
  close(): Promise<void>;
}

/** The service key that is asked for: all its leasable versions, or one. */
export interface LeaseRequest {
  readonly tenant: string;
  readonly service: string;
  /** A version from 1, where one alone is wanted. */
  readonly version?: number;
}

/** The answer to a lease request (core-protocol.md, "Leases"). */
export interface LeaseGrant {
  /** Must equal the request's; the cache refuses a grant for anything else. */
  readonly tenant: string;
  readonly service: string;
  /** How long the versions may be used, counted from the moment of asking. Positive. */
  readonly ttlMs: number;
  /** When to renew in the background, counted likewise. Positive, at most `ttlMs`. */
  readonly refreshAfterMs: number;
  /** The event log that `revocationSeq` counts in; undefined for a source that has no revocation log. */
  readonly log: string | undefined;
  /** The newest revocation event that the source had applied when it answered; 0 without a log. */
  readonly revocationSeq: number;
  /** At least one; exactly one `active` when no version was asked for. */
  readonly versions: readonly LeasedServiceKey[];
  /** The name of the source that granted it, where one source speaks for several (a chain); else undefined. */
  readonly source?: string;
}

/** `active` wraps and unwraps, `deprecated` only unwraps; no other state is ever leased. */
export type LeasableState = "active" | "deprecated";

/** One version of a service key, in the clear. */
export interface LeasedServiceKey {
  /** From 1 to 2^32 - 1. */
  readonly version: number;
  readonly state: LeasableState;
  /** 32 bytes. Owned by whoever called `lease`, who wipes them. Best made by `allocateSecret`: such a buffer wipes whole. */
  readonly key: Uint8Array;
}

/**
 * `key_not_found`, `key_revoked` and `edge_not_allowed` are answers: the next source of a chain is not asked.
 * `unavailable` is everything else: asking again later, or asking another source, can help.
 */
export type KeySourceErrorCode = "key_not_found" | "key_revoked" | "edge_not_allowed" | "unavailable";

/**
 * What a key source throws: `key_not_found`, `key_revoked` and `edge_not_allowed` are answers, `unavailable` is none. Its message is for the
 * log. `retryAfterMs` is the source's own wish (`Retry-After`); undefined where it said nothing.
 *
 * @example
 * ```ts
 * if (answer.status === 404) throw new KeySourceError("key_not_found", "The source has no such service key.");
 * throw new KeySourceError("unavailable", `It answered ${answer.status}.`, { retryAfterMs: 2_000 });
 * ```
 */
export class KeySourceError extends CodedError<KeySourceErrorCode> {
  override readonly name = "KeySourceError";

  /** Whether the source has spoken, so that neither a retry nor another source is tried. */
  get authoritative(): boolean {
    return this.code !== "unavailable";
  }
}
