/** Certificates of any shape, also the wrong ones that the project's own authority would never issue. */
import "reflect-metadata";

import * as x509 from "@peculiar/x509";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;

export interface TestCertificate {
  readonly certificate: string;
  readonly key: string;
}

export interface TestAuthority extends TestCertificate {
  /** An authority whose certificate this one signed. */
  intermediate(commonName: string): Promise<TestAuthority>;
  issue(request?: TestCertificateRequest): Promise<TestCertificate>;
  /** A revocation list of these certificates. */
  revoke(
    certificates: readonly string[],
    options?: { readonly nextUpdate?: Date; readonly thisUpdate?: Date },
  ): Promise<string>;
}

export interface TestCertificateRequest {
  readonly commonName?: string;
  readonly uris?: readonly string[];
  readonly dns?: readonly string[];
  readonly ip?: readonly string[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** CA:TRUE, on a certificate that otherwise is a caller's. */
  readonly isAuthority?: boolean;
}

let serial = 1;

export async function makeAuthority(commonName = "test CA"): Promise<TestAuthority> {
  const keys = await generateKeys();
  const authority = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: nextSerial(),
    name: [{ CN: [commonName] }],
    keys,
    signingAlgorithm: ALGORITHM,
    ...window({}),
    extensions: await authorityExtensions(keys),
  });
  return authorityOf(authority, keys);
}

async function authorityExtensions(keys: CryptoKeyPair): Promise<x509.Extension[]> {
  return [
    new x509.BasicConstraintsExtension(true, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
  ];
}

async function authorityOf(authority: x509.X509Certificate, keys: CryptoKeyPair): Promise<TestAuthority> {
  return {
    async intermediate(name) {
      const own = await generateKeys();
      const certificate = await x509.X509CertificateGenerator.create({
        serialNumber: nextSerial(),
        subject: [{ CN: [name] }],
        issuer: authority.subjectName,
        publicKey: own.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: ALGORITHM,
        ...window({}),
        extensions: await authorityExtensions(own),
      });
      return authorityOf(certificate, own);
    },

    certificate: pem(authority),
    key: await exportKey(keys.privateKey),

    async issue(request = {}) {
      const { uris = [], dns = [], ip = [] } = request;
      const own = await generateKeys();
      const names = [
        ...uris.map((value) => ({ type: "url" as const, value })),
        ...dns.map((value) => ({ type: "dns" as const, value })),
        ...ip.map((value) => ({ type: "ip" as const, value })),
      ];
      const certificate = await x509.X509CertificateGenerator.create({
        serialNumber: nextSerial(),
        subject: request.commonName === undefined ? [] : [{ CN: [request.commonName] }],
        issuer: authority.subjectName,
        publicKey: own.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: ALGORITHM,
        ...window(request),
        extensions: [
          new x509.BasicConstraintsExtension(request.isAuthority ?? false, undefined, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
          ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
          await x509.AuthorityKeyIdentifierExtension.create(authority),
        ],
      });
      return { certificate: pem(certificate), key: await exportKey(own.privateKey) };
    },

    async revoke(certificates, options = {}) {
      const thisUpdate = options.thisUpdate ?? new Date(Date.now() - DAY_MS);
      const list = await x509.X509CrlGenerator.create({
        issuer: authority.subjectName,
        thisUpdate,
        nextUpdate: options.nextUpdate ?? new Date(Date.now() + DAY_MS),
        signingAlgorithm: ALGORITHM,
        signingKey: keys.privateKey,
        entries: certificates.map((certificate) => ({
          serialNumber: new x509.X509Certificate(certificate).serialNumber,
          revocationDate: thisUpdate,
        })),
      });
      return x509.PemConverter.encode(list.rawData, "X509 CRL");
    },
  };
}

function window({ notBefore, notAfter }: TestCertificateRequest): { notBefore: Date; notAfter: Date } {
  return {
    notBefore: notBefore ?? new Date(Date.now() - DAY_MS),
    notAfter: notAfter ?? new Date(Date.now() + 30 * DAY_MS),
  };
}

function nextSerial(): string {
  return (serial++ + 0x1000_0000).toString(16);
}

function generateKeys(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]) as Promise<CryptoKeyPair>;
}

async function exportKey(key: CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY");
}

function pem(certificate: x509.X509Certificate): string {
  return certificate.toString("pem");
}
