/** What starts the web console: a room of its own, which builds on this one and is loaded where the configuration asks for it. */
import type { HostAndPort } from "../base/config/schema-types.ts";
import type { ServerCertificates } from "../base/network/tls/server.ts";
import type { RevocationLists } from "../base/pki/revocation-list.ts";
import type { Clock } from "../base/time/clock.ts";
import type { CoreAdmin } from "./admin.ts";
import type { CoreLog } from "./answers.ts";

export interface ConsoleOptions {
  /** Port 0 takes a free one. */
  readonly listen: HostAndPort;
  /** SPIFFE IDs that may look and change nothing; `*` stands for any characters. */
  readonly viewers: readonly string[];
  readonly admin: CoreAdmin;
  /** Those of the Core's listener: the same administrators, let in by the same authority. */
  readonly certificates: ServerCertificates;
  readonly revocationLists: RevocationLists;
  readonly trustDomain: string;
  /** 32 bytes that all Cores of one master key have, and nobody else (`RunningCore.sharedSecret`). Copied: the caller wipes its own. */
  readonly secret: Uint8Array;
  /** How people sign in who show no certificate; undefined where none can. */
  readonly signIn?: ConsoleSignIn | undefined;
  readonly clock: Clock;
  readonly log: CoreLog;
}

/** An OpenID Connect issuer, and what the claims of its tokens allow (docs/console.md). */
export interface ConsoleSignIn {
  /** `https://…`, exactly as its tokens name it. */
  readonly issuer: string;
  /** PEM: the authorities of its certificate, where they are not the machine's; a function is asked for each call. */
  readonly ca?: string | (() => string) | undefined;
  readonly clientId: string;
  /** Undefined for a public client; a function is asked for each call. */
  readonly clientSecret?: string | (() => string) | undefined;
  /** What a presented token's `aud` must name. */
  readonly audience: string;
  /** Where browsers reach the console, without a path; undefined: where it listens. */
  readonly url?: string | undefined;
  /** Beside `openid`. */
  readonly scopes: readonly string[];
  /** The claim with a person's groups; dots lead into objects. */
  readonly rolesClaim: string;
  /** Groups whose people may do everything. */
  readonly administrators: readonly string[];
  /** Groups whose people may look. */
  readonly viewers: readonly string[];
  readonly sessionMs: number;
}

export interface ConsoleListener {
  /** `https://<host>:<port>` */
  readonly url: string;
  /** As `RunningCore.useCertificates`. Throws, changing nothing, where they are bad. */
  useCertificates(certificates: ServerCertificates, lists: RevocationLists): void;
  close(): Promise<void>;
}

/** @throws Error with a sentence where the address can't be listened on */
export type StartConsole = (options: ConsoleOptions) => Promise<ConsoleListener>;
