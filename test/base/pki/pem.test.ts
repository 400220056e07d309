/** Each mistake with a file of a certificate or a key has its own sentence, and none shows the file. */
import { afterAll, describe, expect, test } from "bun:test";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readAuthorities, readCertificatePair, readCertificates, readPrivateKey } from "../../../src/base/pki/pem.ts";
import { makeAuthority } from "../../support/certificates.ts";

const folder = mkdtempSync(join(tmpdir(), "crypto-edge-pem-"));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, content: string | Uint8Array): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

const authority = await makeAuthority();
const own = await authority.issue({ dns: ["localhost"] });
const other = await authority.issue({ dns: ["localhost"] });
const cert = file("cert.pem", own.certificate);
const key = file("key.pem", own.key);
const ca = file("ca.pem", authority.certificate);

test("a pair that fits together is read, with its chain", () => {
  const chain = file("chain.pem", `${own.certificate}\n${authority.certificate}`);
  expect(readCertificatePair(chain, key).certificates).toHaveLength(2);
  expect(readAuthorities(ca).certificates[0]!.ca).toBe(true);
});

test("a byte order mark, which some editors write, does no harm", () => {
  const path = file("bom.pem", Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from(own.certificate)]));
  expect(readCertificatePair(path, key).cert).toStartWith("-----BEGIN");
});

describe("a certificate's file that is no good says why", () => {
  const utf16 = Buffer.from(`\ufeff${own.certificate}`, "utf16le");
  test.each([
    ["is empty", file("empty.pem", "")],
    ["is in DER: convert it to PEM (openssl x509", file("der.pem", new X509Certificate(own.certificate).raw)],
    ["is text in UTF-16", file("utf16.pem", utf16)],
    ['holds no certificate in PEM, but "PRIVATE KEY"', key],
    [
      'holds no certificate in PEM, but "CERTIFICATE REQUEST"',
      file("csr.pem", "-----BEGIN CERTIFICATE REQUEST-----\nAA==\n"),
    ],
    ["holds no certificate in PEM, but no PEM", file("text.pem", "hello")],
    [
      "is damaged: copy the file again",
      file("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    ],
    ["can't be read (ENOENT)", join(folder, "none.pem")],
    ["is not a file", folder],
  ])("%s", (sentence, path) => {
    expect(() => readCertificates(path)).toThrow(sentence);
    expect(() => readCertificates(path)).toThrow(path);
  });
});

test("a chain or a bundle that is written half is not taken for a shorter one, wherever it was cut", () => {
  const whole = `${own.certificate}\n${authority.certificate}`;
  for (const length of [
    whole.length - 2,
    whole.length - 30,
    own.certificate.length + 10,
    own.certificate.length + 60,
  ]) {
    const path = file("half.pem", whole.slice(0, length));
    expect(() => readCertificates(path)).toThrow("half.pem is cut off, or still being written");
  }
  expect(readCertificates(file("half.pem", `${whole}\n`)).certificates).toHaveLength(2);
});

describe("a private key's file that is no good says why, and shows nothing of it", () => {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  const der = rsa.export({ type: "pkcs8", format: "der" });
  const encrypted = rsa.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" }) as string;
  const pss = join(folder, "pss.pem");
  const made = Bun.spawnSync([
    "openssl",
    "genpkey",
    "-algorithm",
    "RSA-PSS",
    "-pkeyopt",
    "rsa_keygen_bits:2048",
    "-out",
    pss,
  ]);
  expect(made.exitCode).toBe(0);
  test.each([
    ["is encrypted: decrypt it", file("encrypted.pem", encrypted)],
    ["is encrypted: decrypt it", file("old.pem", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n")],
    ["is an RSA-PSS key", pss],
    ["is in DER: convert it to PEM (openssl pkey", file("key.der", der)],
    ['holds no private key in PEM, but "CERTIFICATE"', cert],
    ["can't be used: it is damaged", file("bad.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")],
    ["is empty", file("none.key", "")],
  ])("%s", (sentence, path) => {
    expect(() => readPrivateKey(path)).toThrow(sentence);
    const message = String(
      Bun.inspect(
        (() => {
          try {
            readPrivateKey(path);
          } catch (error) {
            return error;
          }
        })(),
      ),
    );
    expect(message).not.toMatch(/[A-Za-z0-9+/]{60}/);
  });
});

test("files that don't fit together say which, and what to do", () => {
  expect(() => readCertificatePair(cert, file("other.key", other.key))).toThrow("give the pair made together");
  const reversed = file("reversed.pem", `${authority.certificate}\n${own.certificate}`);
  expect(() => readCertificatePair(reversed, key)).toThrow("has its chain in the wrong order");
  expect(() => readAuthorities(cert)).toThrow("holds no certificate of an authority");
});
