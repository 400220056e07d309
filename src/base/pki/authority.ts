/**
 * A small certificate authority: ECDSA P-256, one level, SPIFFE IDs in URI SANs. For deployments without an authority
 * of their own, for `crypto-edge dev`, and for tests.
 */
// `@peculiar/x509` reads metadata when it loads: this import comes first.
import "reflect-metadata";

import * as x509 from "@peculiar/x509";
import { type Identity, isPathSegment, isTrustDomain, spiffeId } from "./identity.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
/** Machines' clocks differ a little: a certificate made now is good there too. */
const BACKDATE_MS = 5 * 60_000;
const DAY_MS = 86_400_000;

/** A certificate and its private key (PKCS #8), both PEM. The key is a secret: mode 0600 when it becomes a file. */
export interface CertificateAndKey {
  readonly certificate: string;
  readonly key: string;
}

export interface Authority extends CertificateAndKey {
  readonly trustDomain: string;
}

/** From when to when a certificate is good. Default: from five minutes ago, for the profile's usual number of days. */
export interface Validity {
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly days?: number;
}

/** What is wrong with a request to the authority; the sentence says what to do. */
export class PkiError extends Error {
  override readonly name = "PkiError";
}

export async function createAuthority(
  options: { readonly trustDomain: string; readonly commonName?: string } & Validity,
): Promise<Authority> {
  const { trustDomain } = options;
  if (!isTrustDomain(trustDomain)) {
    throw new PkiError(
      `"${trustDomain}" is no trust domain: use lower-case letters, digits, dots and dashes, such as example.org`,
    );
  }
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: commonName(options.commonName ?? `crypto-edge CA of ${trustDomain}`),
    keys,
    signingAlgorithm: ALGORITHM,
    ...window(options, 3650),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      new x509.SubjectAlternativeNameExtension([{ type: "url", value: `spiffe://${trustDomain}` }]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { trustDomain, certificate: pem(certificate), key: await exportKey(keys.privateKey) };
}

/** An authority from its two PEM texts. */
export function openAuthority(files: CertificateAndKey): Authority {
  const certificate = parseCertificate(files.certificate);
  const uri = uris(certificate)[0] ?? "";
  const trustDomain = /^spiffe:\/\/([^/]+)$/.exec(uri)?.[1];
  if (trustDomain === undefined) {
    throw new PkiError("this certificate names no trust domain: it was not made by `crypto-edge pki init`");
  }
  return { trustDomain, ...files };
}

export interface CertificateRequest extends Validity {
  readonly identity: Identity;
  /** Host names that the certificate may serve under. */
  readonly dns?: readonly string[];
  /** IP addresses that the certificate may serve under. */
  readonly ip?: readonly string[];
}

/** Makes a key and a certificate for it. One with a DNS or IP name may serve; all but the Core's may connect. */
export async function issueCertificate(authority: Authority, request: CertificateRequest): Promise<CertificateAndKey> {
  const { identity, dns = [], ip = [] } = request;
  checkIdentity(identity);
  if (identity.kind === "core" && dns.length + ip.length === 0) {
    throw new PkiError("a Core's certificate needs the name that edges will call: give at least one DNS name or IP");
  }
  for (const address of ip) {
    if (!/^(\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]+)$/.test(address)) {
      throw new PkiError(`"${address}" is no IP address: give a host name with --dns instead`);
    }
  }
  for (const name of dns) {
    if (!/^(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9])?$/.test(name))
      throw new PkiError(`"${name}" is no DNS name`);
  }
  const serves = dns.length + ip.length > 0;
  const connects = identity.kind !== "core";
  const issuer = parseCertificate(authority.certificate);
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: commonName(subjectOf(identity)),
    issuer: issuer.subjectName,
    publicKey: keys.publicKey,
    signingKey: await importKey(authority.key),
    signingAlgorithm: ALGORITHM,
    ...window(request, 365),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([
        ...(serves ? [x509.ExtendedKeyUsage.serverAuth] : []),
        ...(connects ? [x509.ExtendedKeyUsage.clientAuth] : []),
      ]),
      new x509.SubjectAlternativeNameExtension([
        { type: "url", value: spiffeId(authority.trustDomain, identity) },
        ...dns.map((value) => ({ type: "dns" as const, value })),
        ...ip.map((value) => ({ type: "ip" as const, value })),
      ]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: pem(certificate), key: await exportKey(keys.privateKey) };
}

/** A CRL (PEM) that names certificates (PEM) as revoked: the whole list each time, since a CRL replaces the last. */
export async function makeRevocationList(
  authority: Authority,
  revoked: readonly string[],
  options: { readonly thisUpdate?: Date; readonly nextUpdate?: Date } = {},
): Promise<string> {
  const issuer = parseCertificate(authority.certificate);
  const thisUpdate = options.thisUpdate ?? new Date(Date.now() - BACKDATE_MS);
  const serials = new Set(revoked.map((text) => parseCertificate(text).serialNumber));
  const list = await x509.X509CrlGenerator.create({
    issuer: issuer.subjectName,
    thisUpdate,
    nextUpdate: options.nextUpdate ?? new Date(Date.now() + 365 * DAY_MS),
    signingAlgorithm: ALGORITHM,
    signingKey: await importKey(authority.key),
    entries: [...serials].map((serial) => ({ serialNumber: serial, revocationDate: thisUpdate })),
  });
  return `${x509.PemConverter.encode(list.rawData, "X509 CRL").trim()}\n`;
}

/** What a certificate says of itself. */
export interface CertificateSummary {
  readonly subject: string;
  readonly serial: string;
  readonly uris: readonly string[];
  readonly dns: readonly string[];
  readonly ip: readonly string[];
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export function describeCertificate(certificatePem: string): CertificateSummary {
  const certificate = parseCertificate(certificatePem);
  return {
    subject: certificate.subject,
    serial: certificate.serialNumber,
    uris: uris(certificate),
    dns: names(certificate, "dns"),
    ip: names(certificate, "ip"),
    notBefore: certificate.notBefore,
    notAfter: certificate.notAfter,
  };
}

function checkIdentity(identity: Identity): void {
  if (identity.kind === "edge" && !isPathSegment(identity.edge)) {
    throw new PkiError(`"${identity.edge}" is no edge id: use letters, digits, dots, dashes and underscores`);
  }
  if (identity.kind !== "client") return;
  const segments = identity.path.split("/");
  if (!segments.every(isPathSegment)) {
    throw new PkiError(`"${identity.path}" is no client path: use names of letters, digits, ._- joined by slashes`);
  }
  if (segments[0] === "core" || segments[0] === "edge") {
    throw new PkiError(`a client's path can't begin with "${segments[0]}": that is the identity of another role`);
  }
}

function subjectOf(identity: Identity): string {
  switch (identity.kind) {
    case "edge":
      return `edge ${identity.edge}`;
    case "core":
      return "core";
    case "core-admin":
      return "core admin";
    case "client":
      return identity.path.slice(0, 64);
  }
}

function window(validity: Validity, defaultDays: number): { notBefore: Date; notAfter: Date } {
  const { days } = validity;
  if (days !== undefined && !(days > 0 && days <= 36_500)) throw new PkiError("--days must be from 1 to 36500");
  const notBefore = validity.notBefore ?? new Date(Date.now() - BACKDATE_MS);
  const start = Math.max(notBefore.getTime(), validity.notBefore === undefined ? Date.now() : 0);
  const notAfter = validity.notAfter ?? new Date(start + (days ?? defaultDays) * DAY_MS);
  if (notAfter <= notBefore) throw new PkiError("a certificate must end after it begins");
  return { notBefore, notAfter };
}

function commonName(name: string): x509.JsonName {
  return [{ CN: [name] }];
}

/** 16 random bytes with the top bit clear: positive, as RFC 5280 wants it. */
function serialNumber(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return Buffer.from(bytes).toString("hex");
}

function generateKeys(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]) as Promise<CryptoKeyPair>;
}

function importKey(keyPem: string): Promise<CryptoKey> {
  const [block] = x509.PemConverter.decode(keyPem);
  if (block === undefined) throw new PkiError("the authority's key file holds no PEM private key");
  return crypto.subtle.importKey("pkcs8", block, ALGORITHM, false, ["sign"]);
}

async function exportKey(key: CryptoKey): Promise<string> {
  const bytes = await crypto.subtle.exportKey("pkcs8", key);
  return `${x509.PemConverter.encode(bytes, "PRIVATE KEY").trim()}\n`;
}

function parseCertificate(certificatePem: string): x509.X509Certificate {
  try {
    return new x509.X509Certificate(certificatePem);
  } catch {
    throw new PkiError("not a PEM certificate");
  }
}

function pem(certificate: x509.X509Certificate): string {
  return `${certificate.toString("pem").trim()}\n`;
}

function uris(certificate: x509.X509Certificate): string[] {
  return names(certificate, "url");
}

function names(certificate: x509.X509Certificate, type: "url" | "dns" | "ip"): string[] {
  const extension = certificate.getExtension(x509.SubjectAlternativeNameExtension);
  return extension?.names.items.filter((item) => item.type === type).map((item) => item.value) ?? [];
}
