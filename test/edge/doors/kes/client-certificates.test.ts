/** Who calls at a listener with `client_certificates: any` (docs/door-kes.md): what KES makes of the certificates that a client sends. */
import "reflect-metadata";

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, X509Certificate } from "node:crypto";
import { request } from "node:https";
import * as x509 from "@peculiar/x509";
import { makeAuthority, type TestAuthority } from "../../../support/certificates.ts";
import { type DoorEdge, startDoorEdge } from "../../../support/door-edge.ts";

interface Client {
  /** What it sends: its own certificate first. */
  readonly pem: string;
  readonly key: string;
  readonly identity: string;
}

function identityOf(pem: string): string {
  const spki = new X509Certificate(pem).publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(spki).digest("hex");
}

/** As KES makes one of an API key: Ed25519, self-signed, new at each start. */
async function selfSigned(
  algorithm: "Ed25519" | "ECDSA",
  keys?: CryptoKeyPair,
): Promise<Client & { readonly pair: CryptoKeyPair }> {
  const parameters =
    algorithm === "Ed25519" ? { name: "Ed25519" } : { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const pair = keys ?? ((await crypto.subtle.generateKey(parameters, true, ["sign", "verify"])) as CryptoKeyPair);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: Buffer.from(crypto.getRandomValues(new Uint8Array(8)))
      .fill(1, 0, 1)
      .toString("hex"),
    name: "",
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 86_400_000),
    signingAlgorithm: parameters,
    keys: pair,
  });
  const key = x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", pair.privateKey), "PRIVATE KEY");
  const pem = certificate.toString("pem");
  return { pem: `${pem}\n`, key, pair, identity: identityOf(pem) };
}

let ca: TestAuthority;
let caPem: string;
let edge: DoorEdge;
let own: Client & { readonly pair: CryptoKeyPair };
let issued: Client;

beforeAll(async () => {
  ca = await makeAuthority();
  caPem = `${ca.certificate}\n`;
  const server = await ca.issue({ ip: ["127.0.0.1"], dns: ["localhost"] });
  own = await selfSigned("Ed25519");
  const { certificate, key } = await ca.issue({ dns: ["minio.example"] });
  issued = { pem: `${certificate}\n`, key, identity: identityOf(certificate) };
  edge = await startDoorEdge({
    listeners: `  - { https: "127.0.0.1:0", cert: FOLDER/server.pem, key: FOLDER/server.key, client_certificates: any, min_tls: "1.2", doors: [kes] }`,
    doors: "{ kes: { keys: { my-key: { tenant: tenant-a, service: billing } } } }",
    principals: `"spki:${own.identity}", "spki:${issued.identity}"`,
    files: { "server.pem": server.certificate, "server.key": server.key },
  });
});
afterAll(() => edge.close());

interface Answer {
  readonly status: number;
  readonly body: string;
}

function call(path: string, client?: Omit<Client, "identity">, maxVersion?: "TLSv1.2"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = {
      ca: ca.certificate,
      agent: false as const,
      ...(client === undefined ? {} : { cert: client.pem, key: client.key }),
      ...(maxVersion === undefined ? {} : { maxVersion }),
    };
    const sent = request(new URL(path, edge.url), options, (response) => {
      let body = "";
      response.on("data", (chunk) => (body += chunk));
      response.on("end", () => resolve({ status: response.statusCode!, body }));
    });
    sent.on("error", reject);
    sent.end();
  });
}

const DESCRIBE = "/v1/key/describe/my-key";
const SELF = "/v1/identity/self/describe";
const failure = (status: number, message: string): Answer => ({ status, body: JSON.stringify({ message }) });
const NO_CERTIFICATE = failure(400, "tls: client certificate is required");

test("the hash of the client's public key is who it is, whatever certificate it has made of it; others are not", async () => {
  const other = await selfSigned("ECDSA");
  const renewed = await selfSigned("Ed25519", own.pair);
  expect(renewed.identity).toBe(own.identity);
  for (const client of [own, renewed]) {
    expect(await call(DESCRIBE, client)).toMatchObject({ status: 200 });
    expect(JSON.parse((await call(SELF, client)).body)).toMatchObject({ identity: own.identity });
  }
  expect(await call(DESCRIBE, other)).toEqual(failure(403, "not authorized: insufficient permissions"));
  expect(JSON.parse((await call(SELF, other)).body)).toMatchObject({ identity: other.identity });
});

test("without a certificate there is the version, and nothing else", async () => {
  for (const path of [DESCRIBE, SELF]) expect(await call(path)).toEqual(NO_CERTIFICATE);
  expect(await call("/version")).toMatchObject({ status: 200 });
});

describe.each([undefined, "TLSv1.2"] as const)("of the certificates that a client sends (%p at most)", (maxVersion) => {
  test("those of authorities are passed over", async () => {
    const chain = { ...issued, pem: issued.pem + caPem };
    expect(JSON.parse((await call(SELF, chain, maxVersion)).body)).toMatchObject({ identity: issued.identity });
    expect(await call(DESCRIBE, chain, maxVersion)).toMatchObject({ status: 200 });
  });

  test("a second that is none of an authority is one too many, wherever it stands", async () => {
    const other = await selfSigned("ECDSA");
    for (const behind of [
      other.pem,
      caPem + other.pem,
      other.pem + caPem,
      // Twice the same is two.
      issued.pem,
      issued.pem + other.pem,
    ]) {
      const client = { ...issued, pem: issued.pem + behind };
      for (const path of [DESCRIBE, SELF]) {
        expect(await call(path, client, maxVersion)).toEqual(
          failure(400, "tls: received more than one client certificate"),
        );
      }
    }
  });

  test("an authority's own is nobody's, also beside one whose key the client does not have", async () => {
    const { certificate, key } = await ca.issue({ dns: ["minio.example"], isAuthority: true });
    expect(await call(DESCRIBE, { pem: certificate, key }, maxVersion)).toEqual(NO_CERTIFICATE);
    const borrowed = { pem: `${certificate}\n${issued.pem}`, key };
    expect((await call(DESCRIBE, borrowed, maxVersion)).status).toBe(400);
  });

  test("more than eight behind the first are not looked through: the connection ends", async () => {
    const behind = (count: number) => call(DESCRIBE, { ...issued, pem: issued.pem + caPem.repeat(count) }, maxVersion);
    expect(await behind(8)).toMatchObject({ status: 200 });
    await expect(behind(9)).rejects.toThrow();
  });
});
