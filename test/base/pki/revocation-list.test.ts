import { describe, expect, test } from "bun:test";
import { X509Certificate } from "@peculiar/x509";
import { readPeerCertificate } from "../../../src/base/pki/peer-certificate.ts";
import { RevocationListError, readRevocationLists } from "../../../src/base/pki/revocation-list.ts";
import { makeAuthority } from "../../support/certificates.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const DAY_MS = 86_400_000;
const authority = await makeAuthority("one CA");
const other = await makeAuthority("other CA");
const good = await authority.issue({ commonName: "good" });
const bad = await authority.issue({ commonName: "bad" });

const peerOf = (pem: string) => readPeerCertificate(new Uint8Array(new X509Certificate(pem).rawData));
const file = (text: string | Uint8Array) => ({ name: "clients.crl", bytes: Buffer.from(text) });
const clock = (): VirtualClock => {
  const virtual = new VirtualClock();
  virtual.jumpWall(Date.now() - virtual.wallMs());
  return virtual;
};

describe("a revocation list", () => {
  test("refuses the certificates that it names, and no other", async () => {
    const lists = await readRevocationLists(
      [file(await authority.revoke([bad.certificate]))],
      authority.certificate,
      clock(),
    );
    expect(lists.refusalOf(peerOf(bad.certificate))).toBe("the certificate has been revoked");
    expect(lists.refusalOf(peerOf(good.certificate))).toBeUndefined();
  });

  test("is read as PEM, several in a file, or as DER, and each authority has its own", async () => {
    const stranger = await other.issue({ commonName: "stranger" });
    const both = `${await authority.revoke([bad.certificate])}\n${await other.revoke([])}`;
    const ca = `${authority.certificate}\n${other.certificate}`;
    const pem = await readRevocationLists([file(both)], ca, clock());
    expect(pem.refusalOf(peerOf(bad.certificate))).toBe("the certificate has been revoked");
    expect(pem.refusalOf(peerOf(stranger.certificate))).toBeUndefined();

    const base64 = (await authority.revoke([bad.certificate])).replace(/-----.*-----|\s/g, "");
    const der = await readRevocationLists([file(Buffer.from(base64, "base64"))], ca, clock());
    expect(der.refusalOf(peerOf(bad.certificate))).toBe("the certificate has been revoked");
  });

  test("is not taken where the file is cut off, and says when it ends", async () => {
    const ca = `${authority.certificate}\n${other.certificate}`;
    const both = `${await authority.revoke([bad.certificate])}\n${await other.revoke([])}`;
    await expect(readRevocationLists([file(both.slice(0, -40))], ca, clock())).rejects.toThrow("or not all of it");
    const { ends } = await readRevocationLists([file(both)], ca, clock());
    expect(ends.map(({ file: name, issuer }) => [name, issuer])).toEqual([
      ["clients.crl", "CN=one CA"],
      ["clients.crl", "CN=other CA"],
    ]);
    expect(ends[0]!.nextUpdateMs).toBeGreaterThan(ends[0]!.thisUpdateMs);
  });

  test("that has run out refuses everyone of its authority, since nobody knows who was revoked since", async () => {
    const time = clock();
    const list = await authority.revoke([bad.certificate], { nextUpdate: new Date(time.wallMs() + DAY_MS) });
    const lists = await readRevocationLists([file(list)], `${authority.certificate}\n${other.certificate}`, time);
    const stranger = await other.issue({ commonName: "stranger" });
    expect(lists.refusalOf(peerOf(good.certificate))).toBeUndefined();
    time.jumpWall(2 * DAY_MS);
    expect(lists.refusalOf(peerOf(good.certificate))).toContain("has run out");
    expect(lists.refusalOf(peerOf(stranger.certificate))).toBeUndefined();
  });

  test("is not taken when it has run out, comes from someone else, or is none", async () => {
    const stale = await authority.revoke([], { nextUpdate: new Date(Date.now() - DAY_MS), thisUpdate: new Date(0) });
    const forger = await makeAuthority("one CA");
    for (const [text, sentence] of [
      [stale, "ran out"],
      [await other.revoke([]), "not signed by any authority"],
      [await forger.revoke([]), "not signed by any authority"],
      [good.certificate, "not a certificate revocation list"],
      ["garbage", "not a certificate revocation list"],
      ["", "not a certificate revocation list"],
    ] as const) {
      const reading = readRevocationLists([file(text)], authority.certificate, clock());
      await expect(reading).rejects.toBeInstanceOf(RevocationListError);
      await expect(reading).rejects.toThrow(sentence);
    }
  });
});
