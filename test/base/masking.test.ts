import { describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { maskMaterial } from "../../src/base/masking.ts";

describe("what has the shape of key material is masked", () => {
  test("random keys, in hex and base64url, of every length from 24 bytes on", () => {
    for (let round = 0; round < 2_000; round++) {
      const key = randomBytes(24 + (round % 80));
      expect(maskMaterial(`the key ${key.toString("base64url")} is`)).not.toContain(key.toString("base64url"));
      expect(maskMaterial(key.toString("hex"))).toBe("[masked]");
    }
    expect(maskMaterial(randomBytes(16).toString("hex").toUpperCase())).toBe("[masked]");
  });

  test("wrapped keys, records and tokens", () => {
    expect(maskMaterial(Buffer.from(`L4\x01\x01${"\0".repeat(40)}`).toString("base64url"))).toBe("[masked]");
    expect(maskMaterial(`Bearer eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.${"s".repeat(86)}`)).toBe("Bearer [masked]");
  });
});

test("a word of a library, a path, a name stays readable, whatever its length", () => {
  const texts = [
    "error:100000c0:SSL routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE",
    "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    `unix:w/${"a".repeat(120)}/s.sock`,
    "crypto_edge_revocation_transport_connected_seconds_total",
    "SSL_CTX_use_certificate_chain_file_failed",
    "createSecureContextWithClientCertificate",
    "2f1c7e0a-6b7d-4f5e-9a51-0b6c2d3e4f50",
    "spiffe://example.org/ns/very-long-namespace-of-a-team/sa/service-account-of-billing",
  ];
  for (const text of texts) expect(maskMaterial(text)).toBe(text);
});
