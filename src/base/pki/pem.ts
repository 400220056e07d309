/**
 * Certificates and private keys in PEM (RFC 7468), and plain words for what can be wrong with a file of them. Every part of the
 * program that reads one reads it here: listeners, the Core, the edge's own certificate for the Core, the checks of configurations.
 *
 * Texts that hold a private key are the caller's: nothing here keeps them, and no message shows anything of a file.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileBytes } from "../read-file.ts";

/** A certificate and those that vouch for it, its own first, with its private key. */
export interface CertificatePair {
  /** As it goes to the TLS library. */
  readonly cert: string;
  readonly key: string;
  readonly certificates: readonly X509Certificate[];
}

/** A file of certificates. */
export interface CertificateFile {
  readonly pem: string;
  readonly certificates: readonly X509Certificate[];
}

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
const CERTIFICATE = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^-]+-----END (?:TRUSTED |X509 )?CERTIFICATE-----/g;
const LABEL = /-----BEGIN ([A-Z0-9 ]+)-----/g;
/** id-RSASSA-PSS, 1.2.840.113549.1.1.10, as it stands in a key. */
const RSA_PSS = Buffer.from("06092a864886f70d01010a", "hex");

/**
 * Reads a certificate with its chain, and its key, and checks that they belong together.
 *
 * @throws Error with a sentence that names the file and says what to do
 */
export function readCertificatePair(certPath: string, keyPath: string): CertificatePair {
  const { pem, certificates } = readCertificates(certPath);
  const key = readPrivateKey(keyPath);
  const holder = certificates.findIndex((certificate) => certificate.checkPrivateKey(key.key));
  if (holder === -1) {
    throw new Error(`the key in ${keyPath} is not that of the certificate in ${certPath}: give the pair made together`);
  }
  if (holder > 0) {
    throw new Error(
      `${certPath} has its chain in the wrong order: put the key's own certificate first, then its issuer's`,
    );
  }
  return { cert: pem, key: key.pem, certificates };
}

/**
 * For what is to take the place of a certificate in use: one whose time is over, or has not come, would end the service that the old one
 * still gives. Of authorities one that is in its time is enough.
 *
 * @throws Error likewise
 */
export function requireInForce(path: string, certificates: readonly X509Certificate[], nowMs: number): void {
  if (certificates.some(({ validFrom, validTo }) => Date.parse(validFrom) <= nowMs && nowMs < Date.parse(validTo)))
    return;
  const [{ validFrom, validTo }] = certificates as [X509Certificate];
  const [verb, at] = Date.parse(validFrom) > nowMs ? ["is not valid before", validFrom] : ["ended on", validTo];
  throw new Error(`the certificate in ${path} ${verb} ${new Date(at).toISOString()}: give one that is valid now`);
}

/** Reads certificates of authorities. @throws Error likewise */
export function readAuthorities(path: string): CertificateFile {
  const file = readCertificates(path);
  if (!file.certificates.some(({ ca }) => ca)) {
    throw new Error(
      `${path} holds no certificate of an authority (CA:TRUE): give the issuer's certificate, not the end's`,
    );
  }
  return file;
}

/** Reads a file of certificates, at least one. @throws Error likewise */
export function readCertificates(path: string): CertificateFile {
  const pem = readText(path, "certificate");
  const blocks = pem.match(CERTIFICATE) ?? [];
  if (blocks.length === 0 && !labelsOf(pem).some((label) => label.endsWith("CERTIFICATE"))) {
    throw new Error(notThere(path, pem, "certificate"));
  }
  if (isCutOff(pem)) throw new Error(`${path} is cut off, or still being written: copy the whole file`);
  if (blocks.length === 0) throw new Error(`The certificate in ${path} is damaged: copy the file again`);
  const certificates = blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch {
      const which = blocks.length === 1 ? "The certificate" : `Certificate ${index + 1}`;
      throw new Error(`${which} in ${path} is damaged: copy the file again`);
    }
  });
  return { pem, certificates };
}

/** @throws Error likewise */
export function readPrivateKey(path: string): { readonly pem: string; readonly key: KeyObject } {
  const pem = readText(path, "private key");
  const labels = labelsOf(pem);
  if (labels.includes("ENCRYPTED PRIVATE KEY") || pem.includes("Proc-Type: 4,ENCRYPTED")) {
    throw new Error(
      `the private key in ${path} is encrypted: decrypt it (openssl pkey -in FILE -out NEW) and keep the new file readable for its user alone`,
    );
  }
  if (!labels.some((label) => label.endsWith("PRIVATE KEY"))) throw new Error(notThere(path, pem, "private key"));
  let key: KeyObject | undefined;
  try {
    key = createPrivateKey(pem);
  } catch {
    // Named below.
  }
  if (key?.asymmetricKeyType === "rsa-pss" || isRsaPss(pem)) {
    throw new Error(
      `the private key in ${path} is an RSA-PSS key, which this TLS library doesn't take: make an EC or an RSA key`,
    );
  }
  if (key === undefined)
    throw new Error(`the private key in ${path} can't be used: it is damaged, or of an unknown kind`);
  return { pem, key };
}

/** A text that is in ASCII but for a byte order mark, which some editors write. */
function readText(path: string, what: string): string {
  const bytes = readFileBytes(path);
  if (bytes.length === 0) throw new Error(`${path} is empty: give a ${what} in PEM`);
  if (bytes[0] === 0x30 && (bytes[1]! & 0x80) !== 0) {
    const command = what === "certificate" ? "openssl x509" : "openssl pkey";
    throw new Error(`${path} is in DER: convert it to PEM (${command} -inform DER -in FILE -out NEW)`);
  }
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) {
    throw new Error(`${path} is text in UTF-16: save it as ASCII or UTF-8`);
  }
  const text = bytes.subarray(0, 3).equals(BYTE_ORDER_MARK) ? bytes.subarray(3) : bytes;
  return text.toString("latin1");
}

function labelsOf(pem: string): string[] {
  return [...pem.matchAll(LABEL)].map(([, label]) => label!);
}

function notThere(path: string, pem: string, what: "certificate" | "private key"): string {
  const [label] = labelsOf(pem);
  const found = label === undefined ? "no PEM" : `"${label}"`;
  return `${path} holds no ${what} in PEM, but ${found}: give a file that begins with -----BEGIN ${what.toUpperCase()}-----`;
}

/** The last block begins and does not end. Those before it could be taken for all that there is. */
function isCutOff(pem: string): boolean {
  return /^-/m.test(pem.replace(/-----BEGIN ([^-]+)-----[\s\S]*?-----END \1-----/g, ""));
}

function isRsaPss(pem: string): boolean {
  const body = /-----BEGIN PRIVATE KEY-----([^-]+)-----END/.exec(pem)?.[1];
  return body !== undefined && Buffer.from(body, "base64").includes(RSA_PSS);
}
