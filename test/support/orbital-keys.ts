import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface SigningKey {
  readonly certificate: string;
  readonly privateKey: string;
  /** A JWK set with this key's certificate alone. */
  jwks(keyId: string): string;
}

/** An RSA key with a certificate of its own, by OpenSSL. */
export function makeSigningKey(bits = 3_072, days = 2): SigningKey {
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-key-"));
  const at = (name: string): string => join(folder, name);
  try {
    execFileSync(
      "openssl",
      [
        "req",
        "-x509",
        "-newkey",
        `rsa:${bits}`,
        "-nodes",
        "-days",
        String(days),
        "-subj",
        "/CN=test",
        "-keyout",
        at("key"),
        "-out",
        at("pem"),
      ],
      { stdio: "ignore" },
    );
    const certificate = readFileSync(at("pem"), "utf8");
    const der = certificate.replace(/-----[^-]+-----|\s/g, "");
    return {
      certificate,
      privateKey: readFileSync(at("key"), "utf8"),
      // As Orbital's are: `n` and `e` are decimal numbers, so only the certificate is of use.
      jwks: (keyId) =>
        JSON.stringify({
          keys: [{ kty: "RSA", alg: "PS256", use: "sig", kid: keyId, n: "12345", e: "65537", x5c: [der] }],
        }),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
