import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createAuthority,
  describeCertificate,
  issueCertificate,
  makeRevocationList,
  openAuthority,
} from "../../src/pki/authority.ts";
import { parseSpiffeId, spiffeId } from "../../src/pki/identity.ts";

/** `openssl`, an implementation that is not ours, judges what the authority makes. */
function openssl(...args: string[]): string {
  return execFileSync("openssl", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

describe("the authority", () => {
  test("makes certificates that another implementation accepts, for their purpose and for no other", async () => {
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

  test("can be opened again from its files and then issues the same", async () => {
    const { certificate, key } = await createAuthority({ trustDomain: "example.org" });
    const opened = openAuthority({ certificate, key });
    expect(opened.trustDomain).toBe("example.org");
    const edge = await issueCertificate(opened, { identity: { kind: "edge", edge: "a" }, days: 10 });
    const { notBefore, notAfter } = describeCertificate(edge.certificate);
    expect(notBefore.getTime()).toBeLessThan(Date.now() - 60_000);
    expect(Math.round((notAfter.getTime() - Date.now()) / 86_400_000)).toBe(10);
  });

  test("refuses names that are none, and identities that would pass for another role", async () => {
    const authority = await createAuthority({ trustDomain: "example.org" });
    expect(createAuthority({ trustDomain: "Not A Domain" })).rejects.toThrow("is no trust domain");
    for (const edge of ["", "..", "a/b", "a b", "x".repeat(129)]) {
      expect(issueCertificate(authority, { identity: { kind: "edge", edge } })).rejects.toThrow("is no edge id");
    }
    for (const path of ["core/admin", "core", "edge/edge-1"]) {
      expect(issueCertificate(authority, { identity: { kind: "client", path } })).rejects.toThrow("another role");
    }
    for (const path of ["", "/a", "a//b", "a/../core"]) {
      expect(issueCertificate(authority, { identity: { kind: "client", path } })).rejects.toThrow("is no client path");
    }
    const core = { identity: { kind: "core" } as const };
    expect(issueCertificate(authority, core)).rejects.toThrow("at least one DNS name or IP");
    expect(issueCertificate(authority, { ...core, ip: ["core.example"] })).rejects.toThrow("is no IP address");
    expect(issueCertificate(authority, { ...core, dns: ["a b"] })).rejects.toThrow("is no DNS name");
    expect(issueCertificate(authority, { ...core, dns: ["a"], days: 0 })).rejects.toThrow("--days");
  });
});

describe("a SPIFFE ID", () => {
  test("reads as what it was written from, and as nothing else", () => {
    for (const identity of [
      { kind: "edge", edge: "edge-1" },
      { kind: "core" },
      { kind: "core-admin" },
      { kind: "client", path: "billing/api" },
    ] as const) {
      expect(parseSpiffeId(spiffeId("example.org", identity))).toEqual({ trustDomain: "example.org", identity });
    }
    for (const text of [
      "",
      "spiffe://example.org",
      "spiffe://example.org/",
      "spiffe://Example.org/core",
      "spiffe://example.org//core",
      "spiffe://example.org/core/",
      "spiffe://example.org/./core",
      "spiffe://example.org/edge/a%2Fb",
      "spiffe://example.org/core?x",
      "https://example.org/core",
      "spiffe://user@example.org/core",
      " spiffe://example.org/core",
    ]) {
      expect(parseSpiffeId(text)).toBeUndefined();
    }
    expect(parseSpiffeId("spiffe://example.org/edge/a/b")?.identity.kind).toBe("client");
  });
});
