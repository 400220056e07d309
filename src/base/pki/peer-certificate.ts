// `@peculiar/x509` reads metadata when it loads: this import comes first.
import "reflect-metadata";

import { createHash } from "node:crypto";
import { SubjectAlternativeNameExtension, X509Certificate } from "@peculiar/x509";

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
    notBeforeMs: certificate.notBefore.getTime(),
    notAfterMs: certificate.notAfter.getTime(),
  };
}
