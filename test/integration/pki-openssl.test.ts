import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createAuthority,
  describeCertificate,
  issueCertificate,
  makeRevocationList,
} from "../../src/base/pki/authority.ts";

/** `openssl`, an implementation that is not ours, judges what the authority makes. */
function openssl(...args: string[]): string {
  return execFileSync("openssl", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

test("the authority makes certificates that another implementation accepts, for their purpose and for no other", async () => {
  const directory = mkdtempSync(join(tmpdir(), "pki-"));
  try {
    const authority = await createAuthority({ trustDomain: "example.org" });
    const write = (name: string, text: string): string => {
      writeFileSync(join(directory, name), text);
      return join(directory, name);
    };
    const ca = write("ca.pem", authority.certificate);
    const made = {
      core: await issueCertificate(authority, {
        identity: { kind: "core" },
        dns: ["core.example"],
        ip: ["10.0.0.7"],
      }),
      edge: await issueCertificate(authority, { identity: { kind: "edge", edge: "edge-1" } }),
      admin: await issueCertificate(authority, { identity: { kind: "core-admin" } }),
      client: await issueCertificate(authority, { identity: { kind: "client", path: "billing/api" } }),
    };
    const verify = (name: keyof typeof made, ...args: string[]): string =>
      openssl("verify", "-x509_strict", "-CAfile", ca, ...args, write(`${name}.pem`, made[name].certificate));
    expect(verify("core", "-purpose", "sslserver", "-verify_hostname", "core.example")).toContain("OK");
    expect(verify("core", "-purpose", "sslserver", "-verify_ip", "10.0.0.7")).toContain("OK");
    expect(() => verify("core", "-purpose", "sslclient")).toThrow();
    expect(() => verify("core", "-verify_hostname", "other.example")).toThrow();
    for (const name of ["edge", "admin", "client"] as const) {
      expect(verify(name, "-purpose", "sslclient")).toContain("OK");
      expect(() => verify(name, "-purpose", "sslserver")).toThrow();
    }
    expect(describeCertificate(made.edge.certificate).uris).toEqual(["spiffe://example.org/edge/edge-1"]);
    expect(describeCertificate(made.core.certificate).uris).toEqual(["spiffe://example.org/core"]);
    expect(describeCertificate(made.admin.certificate).uris).toEqual(["spiffe://example.org/core/admin"]);
    expect(describeCertificate(made.client.certificate).uris).toEqual(["spiffe://example.org/billing/api"]);
    const text = openssl("x509", "-in", ca, "-noout", "-text");
    expect(text).toContain("CA:TRUE, pathlen:0");
    expect(text).toContain("Certificate Sign, CRL Sign");

    const list = write("crl.pem", await makeRevocationList(authority, [made.edge.certificate]));
    const checked = ["-crl_check", "-CRLfile", list];
    expect(verify("client", ...checked)).toContain("OK");
    expect(() => verify("edge", ...checked)).toThrow("certificate revoked");
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
