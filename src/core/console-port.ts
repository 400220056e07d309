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
  readonly clock: Clock;
  readonly log: CoreLog;
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
