import { describe, expect, test } from "bun:test";
import { X509Certificate } from "@peculiar/x509";
import { type PeerCertificate, readPeerCertificate } from "../../../src/base/pki/peer-certificate.ts";
import { type NameSource, principalOfCertificate } from "../../../src/edge/access/certificate-identity.ts";
import { makeAuthority, type TestCertificateRequest } from "../../support/certificates.ts";

const authority = await makeAuthority();

async function certificateOf(request: TestCertificateRequest): Promise<PeerCertificate> {
  const { certificate } = await authority.issue(request);
  return readPeerCertificate(new Uint8Array(new X509Certificate(certificate).rawData));
}

async function identify(request: TestCertificateRequest, sources?: readonly NameSource[]) {
  return principalOfCertificate(await certificateOf(request), "127.0.0.1", sources);
}

const peer = "127.0.0.1";

describe("a client certificate", () => {
  test("names the principal by its SPIFFE ID, else its DNS name, else its common name", async () => {
    const all = { uris: ["spiffe://example.org/billing/api"], dns: ["App.Example"], commonName: "app" };
    expect(await identify(all)).toEqual({ kind: "spiffe", name: "spiffe://example.org/billing/api", peer });
    expect(await identify({ dns: all.dns, commonName: "app" })).toEqual({ kind: "dns", name: "app.example", peer });
    expect(await identify({ commonName: "Batch Job é" })).toEqual({ kind: "common_name", name: "Batch Job é", peer });
  });

  test("names it only by what the configuration accepts, in its order", async () => {
    const all = { uris: ["spiffe://example.org/billing/api"], dns: ["app.example"], commonName: "app" };
    expect(await identify(all, ["common_name", "uri"])).toEqual({ kind: "common_name", name: "app", peer });
    expect(await identify({ commonName: "app" }, ["uri"])).toEqual({
      refused: "the certificate has no name that is accepted here (uri)",
    });
  });

  test("is refused without any name", async () => {
    expect(await identify({})).toMatchObject({ refused: expect.stringContaining("no name that is accepted") });
  });

  test("is refused when its names could be read two ways or are malformed", async () => {
    const two = { uris: ["spiffe://example.org/a", "spiffe://example.org/b"] };
    expect(await identify(two)).toEqual({ refused: "the certificate has more than one URI name" });
    for (const uri of [
      "https://example.org/billing",
      "spiffe://example.org",
      "spiffe://example.org/",
      "spiffe://Example.org/a",
      "spiffe://example.org/a/../b",
      "spiffe://example.org/a//b",
      "spiffe://example.org/a?b",
      "spiffe://example.org/a%2fb",
      `spiffe://example.org/${"a".repeat(2048)}`,
    ]) {
      // A usable name of another kind does not rescue it.
      expect(await identify({ uris: [uri], dns: ["app.example"], commonName: "app" })).toHaveProperty("refused");
    }
    expect(await identify({ dns: ["not a name"] })).toHaveProperty("refused");
    expect(await identify({ commonName: "line\nbreak" })).toHaveProperty("refused");
    expect(await identify({ commonName: "right\u202eleft" })).toHaveProperty("refused");
  });

  test("may have a SPIFFE ID of 2,048 characters, and no longer one", async () => {
    const ofLength = (length: number) => "spiffe://example.org/".padEnd(length, "a");
    expect(await identify({ uris: [ofLength(2_048)] })).toMatchObject({ kind: "spiffe", name: ofLength(2_048) });
    expect(await identify({ uris: [ofLength(2_049)] })).toHaveProperty("refused");
  });

  test("of an authority names no caller, whatever names it has", async () => {
    const names = { uris: ["spiffe://example.org/a"], dns: ["app.example"], commonName: "app" };
    expect(await identify({ ...names, isAuthority: true })).toEqual({
      refused: "the certificate is that of an authority (CA:TRUE), which is no caller's",
    });
  });

  test("can't pass two names off as one with a comma", async () => {
    const sly = { dns: ["app.example, URI:spiffe://example.org/billing/api"] };
    expect(await identify(sly)).toHaveProperty("refused");
  });
});
