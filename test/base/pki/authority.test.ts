import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { createPrivateKey, X509Certificate } from "node:crypto";
import {
  type CertificateRequest,
  createAuthority,
  describeCertificate,
  issueCertificate,
  openAuthority,
} from "../../../src/base/pki/authority.ts";
import { parseSpiffeId, spiffeId } from "../../../src/base/pki/identity.ts";

/** For a busy machine. */
setDefaultTimeout(30_000);

describe("the authority", () => {
  test("makes certificates with the names, the chain and the uses of their role", async () => {
    const authority = await createAuthority({ trustDomain: "example.org" });
    const ca = new X509Certificate(authority.certificate);
    expect(ca.ca).toBe(true);
    const make = async (request: CertificateRequest) => {
      const { certificate, key } = await issueCertificate(authority, request);
      const parsed = new X509Certificate(certificate);
      expect(parsed.checkIssued(ca) && parsed.verify(ca.publicKey) && !parsed.ca).toBe(true);
      expect(parsed.checkPrivateKey(createPrivateKey(key))).toBe(true);
      return { parsed, uris: describeCertificate(certificate).uris };
    };
    const core = await make({ identity: { kind: "core" }, dns: ["core.example"], ip: ["10.0.0.7"] });
    expect(core.parsed.checkHost("core.example")).toBe("core.example");
    expect(core.parsed.checkHost("other.example")).toBeUndefined();
    expect(core.parsed.checkIP("10.0.0.7")).toBe("10.0.0.7");
    expect(core.uris).toEqual(["spiffe://example.org/core"]);
    for (const [identity, uri] of [
      [{ kind: "edge", edge: "edge-1" }, "spiffe://example.org/edge/edge-1"],
      [{ kind: "core-admin" }, "spiffe://example.org/core/admin"],
      [{ kind: "client", path: "billing/api" }, "spiffe://example.org/billing/api"],
    ] as const) {
      expect((await make({ identity })).uris).toEqual([uri]);
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
