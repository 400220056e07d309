// `@peculiar/x509` reads metadata when it loads: this import comes first.
import "reflect-metadata";

import { createHash } from "node:crypto";
import { BasicConstraintsExtension, SubjectAlternativeNameExtension, X509Certificate } from "@peculiar/x509";

/** The other end of a connection: where it calls from, and the certificate that it proved to hold, if it gave one. */
export interface Peer {
  readonly remoteAddress: string;
  /**
   * Its key is proven, and it is verified against the CA, in its time when the connection was made, but where a server takes any.
   * Undefined where none was given or asked for.
   */
  readonly certificate: PeerCertificate | undefined;
}

export interface PeerCertificate {
  /** As it was shown, DER. */
  readonly der: Uint8Array;
  /** URI SANs, in order: a SPIFFE ID is one. */
  readonly uris: readonly string[];
  readonly dns: readonly string[];
  readonly commonName: string | undefined;
  /** Hexadecimal, lower case, without leading zeros. */
  readonly serial: string;
  readonly issuer: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** CA:TRUE. Such a certificate makes others; it is no caller's (X509-SVID, 4.1). */
  readonly isAuthority: boolean;
  /**
   * What the peer showed behind its own certificate, in its order: those between it and the authority that is trusted, and whatever else it
   * sent. Of these it need not have the keys. Empty where there are none.
   */
  readonly issuers: readonly IssuerCertificate[];
}

export interface IssuerCertificate {
  readonly der: Uint8Array;
  readonly serial: string;
  readonly issuer: string;
  /** CA:TRUE. */
  readonly isAuthority: boolean;
}

/** A certificate as `node:tls` shows it. */
interface ShownCertificate {
  readonly raw?: Uint8Array;
  readonly issuerCertificate?: ShownCertificate;
}

/** No chain is longer that means well. */
const ISSUERS_MAX = 8;

/**
 * The certificate of a connection's other end, with what it sent behind it. `shown` is what `getPeerCertificate(true)` gives. Undefined
 * where there is none.
 *
 * @throws for a certificate that can't be read, and for more than eight behind the first: none is passed over
 */
export function readShownCertificate(shown: object | null | undefined): PeerCertificate | undefined {
  const { raw, issuerCertificate } = (shown ?? {}) as ShownCertificate;
  if (raw === undefined || raw.length === 0) return undefined;
  const own = readPeerCertificate(raw);
  const issuers: IssuerCertificate[] = [];
  let last = shown as ShownCertificate;
  // On some runtimes the last one is its own issuer.
  for (let at = issuerCertificate; at?.raw !== undefined && at !== last; at = at.issuerCertificate) {
    if (issuers.length === ISSUERS_MAX) throw new RangeError("The chain of the peer's certificate is too long.");
    issuers.push(readPeerCertificate(at.raw));
    last = at;
  }
  return issuers.length === 0 ? own : { ...own, issuers };
}

/**
 * Reads a certificate from its DER bytes. From the bytes and not from the runtime's text form ("URI:a, DNS:b"), where
 * a name that contains a comma could pass for two.
 */
export function readPeerCertificate(der: Uint8Array): PeerCertificate {
  const digest = createHash("sha256").update(der).digest("base64");
  let certificate = read.get(digest);
  if (certificate === undefined) {
    certificate = parse(der);
    if (read.size >= READ_MAX) read.clear();
    read.set(digest, certificate);
  }
  return certificate;
}

/** What was read lately: reading one costs as much as the rest of its handshake, and callers come back with the same. */
const read = new Map<string, PeerCertificate>();
const READ_MAX = 1_000;

function parse(der: Uint8Array): PeerCertificate {
  const certificate = new X509Certificate(Uint8Array.from(der).buffer);
  const items = certificate.getExtension(SubjectAlternativeNameExtension)?.names.items ?? [];
  const named = (type: string): string[] => items.filter((item) => item.type === type).map((item) => item.value);
  return {
    der: Uint8Array.from(der),
    uris: named("url"),
    dns: named("dns"),
    commonName: certificate.subjectName.getField("CN")[0],
    serial: certificate.serialNumber.toLowerCase().replace(/^0+(?=.)/, ""),
    issuer: certificate.issuer,
    isAuthority: certificate.getExtension(BasicConstraintsExtension)?.ca === true,
    issuers: [],
    notBeforeMs: certificate.notBefore.getTime(),
    notAfterMs: certificate.notAfter.getTime(),
  };
}
