/** Certificate revocation lists (RFC 5280, 5): which client certificates are no good although they verify. */
// `@peculiar/x509` reads metadata when it loads: this import comes first.
import "reflect-metadata";

import { PemConverter, X509Certificate, X509Crl } from "@peculiar/x509";
import type { Clock } from "../time/clock.ts";
import type { PeerCertificate } from "./peer-certificate.ts";

/** A list that cannot be trusted or read; the sentence says what to do. */
export class RevocationListError extends Error {
  override readonly name = "RevocationListError";
}

export interface RevocationLists {
  /**
   * Why a certificate, or one of those that vouch for it, is refused; undefined where none is. A list that has run out refuses every certificate of its issuer (as
   * OpenSSL does): without a new list nobody knows what has been revoked since.
   */
  refusalOf(certificate: PeerCertificate): string | undefined;
  /** Those that run out. */
  readonly ends: readonly RevocationListLife[];
}

export interface RevocationListLife {
  readonly file: string;
  readonly issuer: string;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
}

interface IssuerList {
  readonly serials: ReadonlySet<string>;
  readonly nextUpdateMs: number;
}

export const NO_REVOCATION_LISTS: RevocationLists = { refusalOf: () => undefined, ends: [] };

/**
 * Reads CRLs (PEM, any number of them, or one in DER) and verifies each against the client authorities (PEM).
 *
 * @throws {RevocationListError} for one that cannot be read, has run out, or that no authority signed.
 */
export async function readRevocationLists(
  files: readonly { readonly name: string; readonly bytes: Uint8Array }[],
  clientCa: string,
  clock: Clock,
): Promise<RevocationLists> {
  const authorities = PemConverter.decode(clientCa).map((der) => new X509Certificate(der));
  const byIssuer = new Map<string, IssuerList>();
  const ends: RevocationListLife[] = [];
  for (const { name, bytes } of files) {
    for (const list of parseLists(name, bytes)) {
      const issuer = authorities.filter((authority) => authority.subject === list.issuer);
      const verified = await Promise.all(issuer.map((authority) => list.verify({ publicKey: authority.publicKey })));
      if (!verified.includes(true)) {
        throw new RevocationListError(
          `${name}: the revocation list of "${list.issuer}" is not signed by any authority of client_ca. Get the list that this authority published.`,
        );
      }
      const nextUpdateMs = list.nextUpdate?.getTime() ?? Number.POSITIVE_INFINITY;
      if (nextUpdateMs <= clock.wallMs()) {
        throw new RevocationListError(
          `${name}: the revocation list of "${list.issuer}" ran out at ${list.nextUpdate?.toISOString()}. Get the newest one.`,
        );
      }
      if (list.nextUpdate !== undefined) {
        ends.push({ file: name, issuer: list.issuer, thisUpdateMs: list.thisUpdate.getTime(), nextUpdateMs });
      }
      const serials = new Set(list.entries.map((entry) => normalSerial(entry.serialNumber)));
      const before = byIssuer.get(list.issuer);
      byIssuer.set(list.issuer, {
        serials: before === undefined ? serials : before.serials.union(serials),
        nextUpdateMs: Math.min(before?.nextUpdateMs ?? nextUpdateMs, nextUpdateMs),
      });
    }
  }
  return {
    ends,
    refusalOf(certificate) {
      const own = refusalBy(byIssuer.get(certificate.issuer), certificate.serial, clock);
      if (own === "run out") return "the revocation list of the certificate's issuer has run out";
      if (own === "revoked") return "the certificate has been revoked";
      // Whoever's issuer is no good any more is no good either.
      for (const { issuer, serial } of certificate.issuers) {
        const refusal = refusalBy(byIssuer.get(issuer), serial, clock);
        if (refusal === "run out") return `the revocation list of "${issuer}" has run out`;
        if (refusal === "revoked") return "the certificate of its issuer has been revoked";
      }
      return undefined;
    },
  };
}

function refusalBy(list: IssuerList | undefined, serial: string, clock: Clock): "run out" | "revoked" | undefined {
  if (list === undefined) return undefined;
  if (list.nextUpdateMs <= clock.wallMs()) return "run out";
  return list.serials.has(normalSerial(serial)) ? "revoked" : undefined;
}

function parseLists(name: string, bytes: Uint8Array): X509Crl[] {
  try {
    const isPem = Buffer.from(bytes.subarray(0, 4096)).includes("-----BEGIN");
    if (!isPem) return [new X509Crl(Uint8Array.from(bytes).buffer)];
    const text = Buffer.from(bytes).toString("latin1");
    const blocks = PemConverter.decodeWithHeaders(text);
    if (blocks.length === 0 || blocks.some(({ type }) => type !== "X509 CRL")) throw new Error("not a list");
    // One that is cut off, or still being written.
    if (blocks.length < (text.match(/-----BEGIN /g) ?? []).length) throw new Error("not whole");
    return blocks.map(({ rawData }) => new X509Crl(rawData));
  } catch {
    throw new RevocationListError(
      `${name}: not a certificate revocation list in PEM (X509 CRL) or DER, or not all of it.`,
    );
  }
}

function normalSerial(hexadecimal: string): string {
  return hexadecimal.toLowerCase().replace(/^0+(?=.)/, "");
}
