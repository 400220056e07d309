/** What a TLS server presents and whom it trusts, from its files: one reading for listeners of the edge, the Core, and checks of configurations. */
import type { X509Certificate } from "node:crypto";
import { readFileBytes } from "../read-file.ts";
import type { Clock } from "../time/clock.ts";
import { readAuthorities, readCertificatePair, requireInForce } from "./pem.ts";
import { NO_REVOCATION_LISTS, type RevocationLists, readRevocationLists } from "./revocation-list.ts";

/** Paths. */
export interface ServerTrustFiles {
  readonly cert: string;
  readonly key: string;
  /** Undefined where client certificates of any authority are taken, or none. */
  readonly clientCa?: string | undefined;
  readonly clientCrl: readonly string[];
}

export interface ServerTrust {
  /** PEM texts, as the TLS library takes them. */
  readonly certificates: { readonly cert: string; readonly key: string; readonly clientCa: string };
  readonly revocationLists: RevocationLists;
  /** The server's own, first, and those that vouch for it. */
  readonly chain: readonly X509Certificate[];
  readonly authorities: readonly X509Certificate[];
}

/**
 * Reads all of them, and checks that they fit together: the runtime takes a certificate with the key of another, and fails at the first
 * handshake.
 *
 * @throws Error with a sentence that names the file and says what to do
 */
export async function readServerTrust(files: ServerTrustFiles, clock: Clock): Promise<ServerTrust> {
  const pair = readCertificatePair(files.cert, files.key);
  const authorities = files.clientCa === undefined ? undefined : readAuthorities(files.clientCa);
  const clientCa = authorities?.pem ?? "";
  const lists = files.clientCrl.map((name) => ({ name, bytes: readFileBytes(name) }));
  return {
    certificates: { cert: pair.cert, key: pair.key, clientCa },
    revocationLists: lists.length === 0 ? NO_REVOCATION_LISTS : await readRevocationLists(lists, clientCa, clock),
    chain: pair.certificates,
    authorities: authorities?.certificates ?? [],
  };
}

/** What takes the place of a trust in use: besides, its certificates must be in their time. @throws Error likewise */
export async function readRenewedServerTrust(files: ServerTrustFiles, clock: Clock): Promise<ServerTrust> {
  const trust = await readServerTrust(files, clock);
  requireInForce(files.cert, trust.chain.slice(0, 1), clock.wallMs());
  if (files.clientCa !== undefined) requireInForce(files.clientCa, trust.authorities, clock.wallMs());
  return trust;
}

/** What is to be watched for changes. */
export function filesOfServerTrust({ cert, key, clientCa, clientCrl }: ServerTrustFiles): string[] {
  return [cert, key, ...(clientCa === undefined ? [] : [clientCa]), ...clientCrl];
}
