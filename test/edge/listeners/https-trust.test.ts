/** Whom an HTTPS listener trusts, beyond the signature: revoked issuers, certificates of authorities, files that change. */
import { afterAll, afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CertificateExpiry } from "../../../src/base/pki/certificate-expiry.ts";
import { systemClock } from "../../../src/base/time/system-clock.ts";
import type { Listener } from "../../../src/edge/listeners/listener.ts";
import { listenOnTls, type TlsListenerOptions } from "../../../src/edge/listeners/tls-listener.ts";
import { makeAuthority, type TestCertificate } from "../../support/certificates.ts";
import { LISTENER_LIMITS } from "../../support/listener-limits.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { type Handler, routesOf } from "./handler-door.ts";

const folder = mkdtempSync(join(tmpdir(), "crypto-edge-trust-"));
const root = await makeAuthority("root CA");
const intermediate = await root.intermediate("intermediate CA");
const server = await root.issue({ dns: ["localhost"], ip: ["127.0.0.1"] });
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const chained = async (): Promise<TestCertificate> => {
  const own = await intermediate.issue({ uris: ["spiffe://example.org/billing"] });
  return { certificate: `${own.certificate}\n${intermediate.certificate}`, key: own.key };
};

const open: Listener[] = [];
afterEach(async () => {
  for (const listener of open.splice(0)) await listener.close(0);
});
afterAll(() => rmSync(folder, { recursive: true }));

const whoAmI: Handler = (_request, principal) => Response.json(principal);

async function start(changes: Partial<TlsListenerOptions> = {}): Promise<Listener> {
  const silent = { info() {}, warn() {}, error() {} };
  const listener = await listenOnTls(
    {
      host: "127.0.0.1",
      port: 0,
      cert: file("cert.pem", server.certificate),
      key: file("key.pem", server.key),
      clientCa: file("ca.pem", root.certificate),
      clientCertificates: "verified",
      clientCrl: [],
      nameSources: ["uri"],
      minVersion: "TLSv1.3",
      tokens: [],
      limits: LISTENER_LIMITS,
      clock: systemClock,
      log: silent,
      ...changes,
    },
    { http: routesOf(whoAmI) },
  );
  open.push(listener);
  return listener;
}

async function ask({ address }: Listener, client: TestCertificate): Promise<[status: number, text: string]> {
  const tls = { ca: root.certificate, cert: client.certificate, key: client.key };
  const answer = await fetch(`${address}/who`, { keepalive: false, tls } as RequestInit);
  return [answer.status, await answer.text()];
}

test("whoever was certified by an intermediate authority is known by it; once that is revoked, nobody is", async () => {
  const client = await chained();
  expect((await ask(await start(), client))[0]).toBe(200);

  const crl = file("root.crl", await root.revoke([intermediate.certificate]));
  const [status, text] = await ask(await start({ clientCrl: [crl] }), client);
  expect(status).toBe(401);
  expect(text).toContain("the certificate of its issuer has been revoked");
  // One that the root itself has certified goes on.
  const direct = await root.issue({ uris: ["spiffe://example.org/billing"] });
  expect((await ask(await start({ clientCrl: [crl] }), direct))[0]).toBe(200);
});

test("the certificate of an authority is no caller's", async () => {
  const authority = await root.issue({ uris: ["spiffe://example.org/billing"], isAuthority: true });
  const [status, text] = await ask(await start(), authority);
  expect(status).toBe(401);
  expect(text).toContain("CA:TRUE");
});

test("certificates in use are told of, and again when the files have changed", async () => {
  const clock = new VirtualClock();
  clock.jumpWall(Date.now() - clock.wallMs());
  const expiry = new CertificateExpiry(clock, { warn() {}, error() {} });
  const listener = await start({ clock, expiry });
  const ends = () => expiry.ends().find(({ file: path }) => path.endsWith("cert.pem"))!.notAfterMs;
  const before = ends();
  const renewed = await root.issue({
    dns: ["localhost"],
    ip: ["127.0.0.1"],
    notAfter: new Date(Date.now() + 90 * 86_400_000),
  });
  file("cert.pem", renewed.certificate);
  file("key.pem", renewed.key);
  for (let waited = 0; ends() === before && waited < 500; waited++) {
    await clock.advance(2_000);
    await Bun.sleep(5);
  }
  expect(ends()).toBeGreaterThan(before);
  const taken = ends();
  const over = await root.issue({ dns: ["localhost"], notAfter: new Date(Date.now() - 1_000) });
  file("cert.pem", over.certificate);
  file("key.pem", over.key);
  expect(listener.reload?.()).rejects.toThrow("give one that is valid now");
  expect(ends()).toBe(taken);
  expect(expiry.ends().map(({ role }) => role)).toEqual([listener.address, listener.address]);
  expiry.close();
});
