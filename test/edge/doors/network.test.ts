/** The doors aws-kms and vault-transit on an https listener: who calls, by certificate, token or signature, and nobody else. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { SignatureV4 } from "@smithy/signature-v4";
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from "jose";
import { makeAuthority, type TestCertificate } from "../../support/certificates.ts";
import { type DoorEdge, startDoorEdge } from "../../support/door-edge.ts";
import { Sha256 } from "./aws-kms/sha256.ts";

const ACCESS_KEY = { id: "AKIDTEST", secret: "the secret" };
const authority = await makeAuthority();
const server = await authority.issue({ dns: ["localhost"], ip: ["127.0.0.1"] });
const client = await authority.issue({ uris: ["spiffe://example.org/billing/api"] });
const stranger = await authority.issue({ uris: ["spiffe://example.org/other"] });

let edge: DoorEdge;
let privateKey: CryptoKey;
beforeAll(async () => {
  const pair = await generateKeyPair("ES256", { extractable: true });
  privateKey = pair.privateKey;
  const listener = (more: string) =>
    `  - { https: "127.0.0.1:0", cert: server.pem, key: server.key, client_ca: ca.pem, doors: [aws-kms, vault-transit]${more} }`;
  edge = await startDoorEdge({
    listeners: [
      listener(`, tokens: [{ issuer: "https://issuer", audience: edge, jwks: jwks.json }]`),
      // Neither tokens nor certificates of an authority: signatures alone.
      `  - { https: "127.0.0.1:0", cert: server.pem, key: server.key, client_certificates: any, doors: [aws-kms] }`,
    ].join("\n"),
    doors: `{ aws-kms: { access_keys: [{ id: ${ACCESS_KEY.id}, secret: "file:access.secret" }] } }`,
    principals: `"spiffe://example.org/billing/*", "token:billing", "access-key:${ACCESS_KEY.id}"`,
    files: {
      "ca.pem": authority.certificate,
      "server.pem": server.certificate,
      "server.key": server.key,
      "access.secret": `${ACCESS_KEY.secret}\n`,
      "jwks.json": JSON.stringify({ keys: [{ ...(await exportJWK(pair.publicKey)), kid: "k", alg: "ES256" }] }),
    },
  });
});
afterAll(() => edge.close());

function token(expires: string | number, audience = "edge", subject = "billing"): Promise<string> {
  return new SignJWT({})
    .setProtectedHeader({ alg: "ES256", kid: "k" })
    .setIssuer("https://issuer")
    .setAudience(audience)
    .setSubject(subject)
    .setExpirationTime(expires)
    .sign(privateKey);
}

interface Options {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly certificate?: TestCertificate;
}

async function post(url: string, { headers = {}, body = "", certificate }: Options) {
  const tls = {
    ca: authority.certificate,
    ...(certificate && { cert: certificate.certificate, key: certificate.key }),
  };
  const response = await fetch(url, { method: "POST", headers, body, keepalive: false, tls } as RequestInit);
  return {
    status: response.status,
    ...((await response.json()) as {
      __type?: string;
      auth?: { client_token: string; lease_duration: number };
      errors?: string[];
      data?: unknown;
    }),
  };
}

const BODY = JSON.stringify({ KeyId: "tenant-a/billing", KeySpec: "AES_256" });
const TARGET = { "x-amz-target": "TrentService.GenerateDataKey", "content-type": "application/x-amz-json-1.1" };
const kms = (options: Options, listener = 0) =>
  post(`${edge.urls[listener]}/`, { body: BODY, ...options, headers: { ...TARGET, ...options.headers } });

async function signed(
  url: string,
  { secret = ACCESS_KEY.secret, id = ACCESS_KEY.id, at = Date.now() } = {},
): Promise<Record<string, string>> {
  const signer = new SignatureV4({
    credentials: { accessKeyId: id, secretAccessKey: secret },
    region: "eu-central-1",
    service: "kms",
    sha256: Sha256,
    applyChecksum: true,
  });
  const { host, hostname } = new URL(url);
  const request = {
    method: "POST",
    protocol: "https:",
    hostname,
    path: "/",
    query: {},
    headers: { ...TARGET, host },
    body: BODY,
  };
  return (await signer.sign(request, { signingDate: new Date(at) })).headers;
}

describe("aws-kms", () => {
  test("knows the bearer of a certificate, whatever else is sent", async () => {
    expect((await kms({ certificate: client })).status).toBe(200);
    expect(
      (
        await kms({
          certificate: client,
          headers: { authorization: "AWS4-HMAC-SHA256 rubbish", "x-amz-security-token": "x" },
        })
      ).status,
    ).toBe(200);
    expect(await kms({ certificate: stranger })).toMatchObject({ status: 400, __type: "AccessDeniedException" });
  });

  test("knows the subject of a token, and says when it has expired", async () => {
    const by = (text: string) => kms({ headers: { "x-amz-security-token": text } });
    const good = await token("1h");
    expect((await by(good)).status).toBe(200);
    expect(await by(await token(1_000_000_000))).toMatchObject({ status: 400, __type: "ExpiredTokenException" });
    for (const bad of [`${good.slice(0, -6)}AAAAAA`, await token("1h", "another"), "x", "a.b.c"]) {
      expect(await by(bad)).toMatchObject({ status: 400, __type: "UnrecognizedClientException" });
    }
    expect(await by(await token("1h", "edge", "somebody"))).toMatchObject({ __type: "AccessDeniedException" });
    // A token that does not hold is not made good by a signature that does.
    const both = { ...(await signed(edge.urls[0]!)), "x-amz-security-token": "x" };
    expect(await kms({ headers: both })).toMatchObject({ __type: "UnrecognizedClientException" });
  });

  test("knows an access key by its signature, with and without tokens and authorities", async () => {
    for (const listener of [0, 1]) {
      const url = edge.urls[listener]!;
      expect((await kms({ headers: await signed(url) }, listener)).status).toBe(200);
      const refused: [Record<string, string>, string][] = [
        [await signed(url, { secret: "another" }), "InvalidSignatureException"],
        [await signed(url, { id: "AKIDOTHER" }), "UnrecognizedClientException"],
        [await signed(url, { at: Date.now() - 400_000 }), "InvalidSignatureException"],
        [{ ...(await signed(url)), "x-amz-target": "TrentService.DescribeKey" }, "InvalidSignatureException"],
        [{ authorization: "Bearer x" }, "UnrecognizedClientException"],
        [{}, "MissingAuthenticationTokenException"],
      ];
      for (const [headers, type] of refused)
        expect(await kms({ headers }, listener)).toMatchObject({ status: 400, __type: type });
      const other = { headers: await signed(url), body: `${BODY} ` };
      expect(await kms(other, listener)).toMatchObject({ status: 400, __type: "InvalidSignatureException" });
    }
  });
});

describe("vault-transit", () => {
  const transit = (headers: Record<string, string>, certificate?: TestCertificate) =>
    post(`${edge.url}/v1/tenant-a/transit/datakey/plaintext/billing`, { headers, ...(certificate && { certificate }) });

  test("knows certificates and tokens, and nobody by any other", async () => {
    expect((await transit({ "x-vault-token": "any" }, client)).status).toBe(200);
    expect((await transit({ "x-vault-token": await token("1h") })).status).toBe(200);
    expect((await transit({ authorization: `Bearer ${await token("1h")}` })).status).toBe(200);
    for (const headers of [{}, { "x-vault-token": "s.abc" }, { "x-vault-token": await token(1_000_000_000) }] as Record<
      string,
      string
    >[]) {
      expect(await transit(headers)).toMatchObject({ status: 403, errors: ["permission denied"] });
    }
  });

  test("verifies the token of a login, and gives it back; a certificate's token is nothing without it", async () => {
    const login = (path: string, body: object, certificate?: TestCertificate) =>
      post(`${edge.url}/v1/auth/${path}/login`, { body: JSON.stringify(body), ...(certificate && { certificate }) });
    const jwt = await token("1h");
    for (const method of ["jwt", "kubernetes", "clusters-own"]) {
      const { status, auth } = await login(method, { role: "admin", jwt });
      expect([status, auth!.client_token === jwt, auth!.lease_duration > 3_500]).toEqual([200, true, true]);
      expect((await login(method, { role: "admin", jwt: `${jwt.slice(0, -6)}AAAAAA` })).status).toBe(403);
    }
    expect((await login("cert", {})).status).toBe(403);
    const { auth } = await login("cert", {}, client);
    expect((await transit({ "x-vault-token": auth!.client_token })).status).toBe(403);
    expect((await transit({ "x-vault-token": auth!.client_token }, client)).status).toBe(200);
  });
});
