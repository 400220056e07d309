/** What a Core is started with. */
import type { ServerCertificates } from "../base/network/tls/server.ts";
import type { RevocationLists } from "../base/pki/revocation-list.ts";
import type { Clock } from "../base/time/clock.ts";
import type { CoreTarget } from "../edge/revocation/core-target.ts";
import type { EventPublisher } from "../edge/revocation/event-publisher.ts";
import type { EdgeAllowance } from "./allowance.ts";
import type { CoreLog } from "./answers.ts";
import type { EdgeLimits } from "./edge-calls.ts";
import type { UsageRetention } from "./housekeeping.ts";
import type { LeaseTerms } from "./leases.ts";
import type { PostgresqlOptions } from "./store/open-store.ts";

export interface CoreOptions {
  /** Port 0 takes a free one. */
  readonly listen: { readonly hostname: string; readonly port: number };
  readonly tls: CoreCertificateTexts;
  /** Read already, in the place of `tls.clientCrls`. */
  readonly revocationLists?: RevocationLists;
  /** Default: that of the Core's own certificate. */
  readonly trustDomain?: string;
  /** SQLite's path, or `:memory:`; or PostgreSQL's connection. */
  readonly database: string | PostgresqlOptions;
  /** 32 bytes. Copied: the caller wipes its own. */
  readonly masterKey: Uint8Array;
  /** The one before it, while `core rotate-master-key` is under way. */
  readonly formerMasterKey?: Uint8Array;
  /** This Core among those of its store. Default: the host's name and the port. */
  readonly name?: string;
  /** Which edges may lease what; nothing by default. */
  readonly allow?: readonly EdgeAllowance[];
  /** A lease for an unknown tenant or service makes it: for `dev` and tests. */
  readonly createOnFirstUse?: boolean;
  readonly lease?: Partial<LeaseTerms>;
  /** Every second, by the protocol; tests may want it sooner. */
  readonly heartbeatMs?: number;
  readonly retainedEvents?: number;
  readonly limits?: Partial<EdgeLimits>;
  /** How many lease calls one edge may make in a second, on average; bursts of ten seconds' worth pass. */
  readonly leasesPerSecondPerEdge?: number;
  /** How many revocation streams one edge may hold. */
  readonly streamsPerEdge?: number;
  readonly usage?: Partial<UsageRetention>;
  readonly publishers?: readonly EventPublisher[];
  /** Who orders things of this Core; started once it listens, closed with it. */
  readonly targets?: readonly CoreTarget[];
  readonly clock?: Clock;
  /** One line for each thing an operator may want to know. Names no secret. */
  readonly log?: CoreLog;
}

/** PEM texts. */
export interface CoreCertificateTexts extends ServerCertificates {
  /** Lists of revoked client certificates: who is on one is let in no more. */
  readonly clientCrls?: readonly { readonly name: string; readonly bytes: Uint8Array }[];
}
