import { afterAll, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { readCertificatePair } from "../../src/base/pki/pem.ts";
import { makeAuthority } from "../support/certificates.ts";

const MAIN = resolve(import.meta.dir, "../../src/main.ts");
const folder = mkdtempSync(join(tmpdir(), "crypto-edge-pki-"));
afterAll(() => rmSync(folder, { recursive: true }));

function pki(...args: string[]) {
  const child = Bun.spawnSync([process.execPath, MAIN, "pki", ...args], { cwd: folder });
  return { exitCode: child.exitCode, stdout: child.stdout.toString(), stderr: child.stderr.toString() };
}

const file = (name: string): string => join(folder, "pki", name);
const certificate = (name: string): X509Certificate => new X509Certificate(readFileSync(file(name)));

test("renew issues a certificate again for the same identity and names, in the same files, with a new key", () => {
  expect(pki("init", "--trust-domain", "example.org").exitCode).toBe(0);
  pki("core", "--dns", "core.example", "--ip", "127.0.0.1", "--days", "90");
  const before = certificate("core.pem");
  expect(pki("renew", "pki/core.pem")).toMatchObject({ exitCode: 0, stderr: "" });
  const after = certificate("core.pem");
  expect(after.subjectAltName).toBe(before.subjectAltName!);
  expect(after.serialNumber).not.toBe(before.serialNumber);
  expect(after.publicKey.equals(before.publicKey)).toBe(false);
  const days = (Date.parse(after.validTo) - Date.now()) / 86_400_000;
  expect(Math.round(days)).toBe(90);
  expect(readCertificatePair(file("core.pem"), file("core.key")).certificates).toHaveLength(1);
  expect(statSync(file("core.key")).mode & 0o777).toBe(0o600);
});

test("renew --within leaves alone what is good for longer", () => {
  pki("edge", "edge-1", "--days", "60");
  const before = certificate("edge-1.pem").serialNumber;
  expect(pki("renew", "--within", "30", "pki/edge-1.pem").stdout).toContain("not renewed yet");
  expect(certificate("edge-1.pem").serialNumber).toBe(before);
  expect(pki("renew", "--within", "61", "pki/edge-1.pem").exitCode).toBe(0);
  expect(certificate("edge-1.pem").serialNumber).not.toBe(before);
});

test("renew signs nothing that the authority has not signed before", async () => {
  const stranger = await makeAuthority();
  const forged = await stranger.issue({ uris: ["spiffe://example.org/core/admin"] });
  writeFileSync(file("forged.pem"), forged.certificate);
  const { exitCode, stderr } = pki("renew", "pki/forged.pem");
  expect(exitCode).toBe(1);
  expect(stderr).toContain("was not issued by this authority");
  copyFileSync(file("edge-1.pem"), file("edge-1.crt"));
  expect(pki("renew", "pki/edge-1.crt").stderr).toContain("give NAME.pem");
});
