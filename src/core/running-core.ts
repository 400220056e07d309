/** What a started Core is to whoever started it: the commands, tests, and the listener that is watched. */
import type { ServerCertificates } from "../base/network/tls/server.ts";
import type { RevocationLists } from "../base/pki/revocation-list.ts";
import type { CoreAdmin } from "./admin.ts";
import type { CoreCertificateTexts } from "./core-options.ts";
import type { CallCounters } from "./edge-calls.ts";
import type { StoreHealth } from "./store/store.ts";

/** Counted since the start. */
export interface CoreCounters extends CallCounters {
  readonly publishFailures: number;
  readonly streams: number;
  /** Of all streams: what they were given and have not taken yet. */
  readonly unsentBytes: number;
  readonly connections: number;
}

export interface RunningCore {
  /** `https://<hostname>:<port>` */
  readonly url: string;
  readonly port: number;
  /** The id of this Core's event log. */
  readonly log: string;
  /** The newest event's number. */
  readonly lastSeq: number;
  /** Of the certificates that are let in. */
  readonly trustDomain: string;
  readonly admin: CoreAdmin;
  readonly counters: CoreCounters;
  /** Whether the store answers and has room. */
  readonly health: StoreHealth;
  /** Whether this Core has the store's master key: not where it was rotated while this Core was away. No lease can be granted then. */
  readonly hasMasterKey: boolean;
  /** When the Core's own certificate ends. */
  readonly certificateEndsAtMs: number;
  /** `KeyHierarchy.sharedSecret`: the caller wipes it. */
  sharedSecret(purpose: string): Uint8Array;
  /**
   * New connections use the new certificates, open ones go on, but for those whose certificate is on a revocation list now.
   * Rejects, changing nothing, where they are bad.
   */
  reloadCertificates(certificates: CoreCertificateTexts): Promise<void>;
  /** Likewise, with lists that were read already. Throws, changing nothing, where they are bad. */
  useCertificates(certificates: ServerCertificates, lists: RevocationLists): void;
  /** Ends streams, finishes calls in flight (at most a few seconds), closes the database, wipes keys. May be called twice. */
  close(): Promise<void>;
}
