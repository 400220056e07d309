/** What the edge presents to the Core and what it trusts, and plain words for what can be wrong with it. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readAuthorities, readCertificatePair } from "../../../base/pki/pem.ts";

/** PEM texts; `cert` may be a chain, `ca` a bundle. */
export interface CoreCertificates {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** Paths of PEM files. */
export interface CoreCertificatePaths {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** Reads the three files. @throws Error naming the file that is wrong, why, and what to do. */
export function readCoreCertificates(paths: CoreCertificatePaths): CoreCertificates {
  const { cert, key } = readCertificatePair(paths.cert, paths.key);
  return { ca: readAuthorities(paths.ca).pem, cert, key };
}

/** @throws Error where a text is no PEM of its kind, or the key is not the certificate's. */
export function checkCoreCertificates(certificates: CoreCertificates): void {
  parse("the CA certificate", certificates.ca);
  const own = parse("the client's certificate", certificates.cert);
  let fits: boolean;
  try {
    fits = own.checkPrivateKey(createPrivateKey(certificates.key));
  } catch {
    throw new Error("the client's private key is not a PEM private key: give the .key file made with the certificate");
  }
  if (!fits)
    throw new Error("the client's private key does not belong to its certificate: give the pair made together");
}

/** What is wrong with our own side's certificates at `nowMs`; undefined where nothing is seen. */
export function faultOfOwnCertificates(certificates: CoreCertificates, nowMs: number): string | undefined {
  const own = new X509Certificate(certificates.cert);
  const fault = faultOfTime(
    "this edge's certificate",
    own,
    nowMs,
    "issue a new one (`crypto-edge pki edge`) and reload",
  );
  if (fault !== undefined) return fault;
  // Of a bundle, one that is in its time is enough.
  const faults = pemBlocks(certificates.ca).map((block) =>
    faultOfTime("the configured CA certificate", new X509Certificate(block), nowMs, "give the CA's current one"),
  );
  return faults.includes(undefined) ? undefined : faults[0];
}

/** A sentence where the edge's certificate was not issued by the configured CA: often, but not always, a mistake. */
export function foreignIssuer(certificates: CoreCertificates): string | undefined {
  const own = new X509Certificate(certificates.cert);
  const issued = pemBlocks(certificates.ca).some((block) => {
    try {
      return own.verify(new X509Certificate(block).publicKey);
    } catch {
      return false;
    }
  });
  return issued ? undefined : `it was issued by "${oneLine(own.issuer)}", not by the configured CA`;
}

function faultOfTime(what: string, certificate: X509Certificate, nowMs: number, remedy: string): string | undefined {
  const from = Date.parse(certificate.validFrom);
  const to = Date.parse(certificate.validTo);
  if (nowMs > to) return `${what} expired on ${iso(to)}: ${remedy}`;
  if (nowMs < from)
    return `${what} is not valid before ${iso(from)}: check this machine's clock (${iso(nowMs)}), or ${remedy}`;
  return undefined;
}

function parse(what: string, text: string): X509Certificate {
  try {
    return new X509Certificate(text);
  } catch {
    throw new Error(`${what} is not a PEM certificate: give a file that begins with -----BEGIN CERTIFICATE-----`);
  }
}

function pemBlocks(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

export function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is taken out
  return text.replace(/[\x00-\x1f\x7f]+/g, " ").slice(0, 300);
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
