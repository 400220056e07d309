/** The files of a listener on TLS: read together, so that they are taken together or not at all. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { messageOf } from "../../base/errors.ts";
import type { ServerCertificates } from "../../base/network/tls/server.ts";
import { NO_REVOCATION_LISTS, type RevocationLists, readRevocationLists } from "../../base/pki/revocation-list.ts";
import type { Clock } from "../../base/time/clock.ts";

/** Paths of PEM files. */
export interface TrustPaths {
  readonly cert: string;
  readonly key: string;
  /** Undefined where any client certificate is taken. */
  readonly clientCa: string | undefined;
  /** Paths of revocation lists. */
  readonly clientCrl: readonly string[];
}

export interface TlsTrust {
  readonly certificates: ServerCertificates;
  readonly revocationLists: RevocationLists;
}
