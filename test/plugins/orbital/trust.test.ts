/** What the operator trusts and signs with follows the disk: the CA of an issuer's address, sets in files, and the key of its answers. */
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { OrbitalConfiguration } from "../../../plugins/orbital/settings.ts";
import { followTrust } from "../../../plugins/orbital/trust.ts";
import type { FollowedCredentials, PluginContext } from "../../../src/edge/plugin-host/plugin.ts";
import { makeAuthority, type TestAuthority } from "../../support/certificates.ts";
import { makeSigningKey } from "../../support/orbital-keys.ts";
import { eventually } from "../../support/until.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const ended: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end();
});

const ISSUER = "https://orbital.example";
const KEPT_MS = 600_000;

function makeFolder(): (name: string) => string {
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-orbital-trust-"));
  ended.push(() => rmSync(folder, { recursive: true, force: true }));
  return (name) => join(folder, name);
}

/** The certificates are of today. */
class TodaysClock extends VirtualClock {
  override wallMs(): number {
    return Date.now();
  }
}

async function follow(more: Partial<OrbitalConfiguration>) {
  const clock = new TodaysClock();
  const followed: FollowedCredentials[] = [];
  const warnings: string[] = [];
  const context = {
    clock,
    log: { info() {}, error() {}, warn: (_: object, message: string) => void warnings.push(message) },
    follow: async (credentials: FollowedCredentials) => {
      followed.push(credentials);
      await credentials.take();
    },
  } as unknown as PluginContext;
  const trust = await followTrust({ issuers: [], require_signature: false, ...more }, context);
  return { ...trust, clock, followed, warnings };
}

/** Serves a set that can be changed. */
async function serve(authority: TestAuthority, set: { text: string }, port = 0): Promise<Server> {
  const { certificate, key } = await authority.issue({ dns: ["localhost"] });
  const server = createServer({ cert: certificate, key }, (_, response) => {
    response.setHeader("connection", "close");
    response.end(set.text);
  });
  await new Promise<void>((resolve) => server.listen(port, "localhost", resolve));
  ended.push(() => server.close());
  return server;
}

test("the CA of an issuer's address is read with each fetch, and followed", async () => {
  const at = makeFolder();
  const [first, second] = [await makeAuthority(), await makeAuthority()];
  const set = { text: makeSigningKey().jwks("one") };
  const server = await serve(first, set);
  const { port } = server.address() as AddressInfo;
  writeFileSync(at("ca.pem"), first.certificate);
  const issuer = { issuer: ISSUER, keys: `https://localhost:${port}/`, ca: at("ca.pem"), tenants: [] };
  const { issuers, followed, clock, warnings } = await follow({ issuers: [{ ...issuer, restores: "any" }] });
  expect(followed).toMatchObject([{ role: `Orbital's issuer ${ISSUER}`, certificates: [at("ca.pem")], others: [] }]);
  expect(await issuers[0]!.keys.find("one")).toBeDefined();
  await new Promise((resolve) => server.close(resolve));
  await serve(second, set, port);
  set.text = makeSigningKey().jwks("two");
  await clock.advance(10_000);
  expect(await issuers[0]!.keys.find("two")).toBeUndefined();
  expect(warnings).toEqual(["an issuer's key set can't be had; the last one stays in use"]);
  expect(await issuers[0]!.keys.find("one")).toBeDefined();
  writeFileSync(at("ca.pem"), second.certificate);
  await followed[0]!.take();
  expect(await issuers[0]!.keys.find("two")).toBeDefined();
}, 300_000);

test("a key that was taken out of a set is trusted no longer: of a file at once, of an address after ten minutes", async () => {
  const at = makeFolder();
  const authority = await makeAuthority();
  writeFileSync(at("ca.pem"), authority.certificate);
  const key = makeSigningKey();
  const set = { text: key.jwks("one") };
  const { port } = (await serve(authority, set)).address() as AddressInfo;
  writeFileSync(at("jwks.json"), set.text);
  const more = { tenants: [], restores: "any" as const };
  const { issuers, followed, clock } = await follow({
    issuers: [
      { issuer: "by file", keys: at("jwks.json"), ...more },
      { issuer: "by address", keys: `https://localhost:${port}/`, ca: at("ca.pem"), ...more },
    ],
  });
  expect(followed[0]).toMatchObject({ certificates: [], others: [at("jwks.json")] });
  const found = async (): Promise<boolean[]> =>
    (await Promise.all(issuers.map(({ keys }) => keys.find("one")))).map((its) => its !== undefined);
  expect(await found()).toEqual([true, true]);
  set.text = key.jwks("two");
  writeFileSync(at("jwks.json"), set.text);
  await followed[0]!.take();
  expect(await found()).toEqual([false, true]);
  await clock.advance(KEPT_MS);
  expect(await found()).toEqual([false, false]);
  writeFileSync(at("jwks.json"), "no JSON");
  await expect(followed[0]!.take() as Promise<void>).rejects.toThrow();
  expect(await issuers[0]!.keys.find("two")).toBeDefined();
}, 300_000);

/** Serves a set once; from then on a byte of it now and then, or nothing: the answer does not end. */
async function serveOnce(authority: TestAuthority, text: string, drips: boolean) {
  const { certificate, key } = await authority.issue({ dns: ["localhost"] });
  const asked = { times: 0, waiting: 0 };
  const server = createServer({ cert: certificate, key }, (_, response) => {
    if (asked.times++ === 0) return void response.end(text);
    asked.waiting++;
    const dripping = drips ? setInterval(() => response.write(" "), 20) : undefined;
    response.on("close", () => {
      clearInterval(dripping);
      asked.waiting--;
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  ended.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { asked, url: `https://localhost:${(server.address() as AddressInfo).port}/` };
}

test("an issuer's address that hangs, or drips, holds up no request whose key is known", async () => {
  const at = makeFolder();
  const authority = await makeAuthority();
  writeFileSync(at("ca.pem"), authority.certificate);
  for (const drips of [false, true]) {
    const { asked, url } = await serveOnce(authority, makeSigningKey().jwks("one"), drips);
    const issuer = { issuer: ISSUER, keys: url, ca: at("ca.pem"), tenants: [], restores: "any" as const };
    const { issuers, clock, warnings } = await follow({ issuers: [issuer] });
    const find = async (): Promise<boolean> => (await issuers[0]!.keys.find("one")) !== undefined;
    expect(await find()).toBe(true);
    await clock.advance(KEPT_MS / 2);
    expect(await find()).toBe(true);
    await eventually(() => asked.waiting === 1, "the set is asked for");
    expect(await find()).toBe(true);
    const gaveUp = (times: number) =>
      eventually(() => warnings.length === times && asked.waiting === 0, "it is given up");
    await clock.advance(5_000);
    await gaveUp(1);
    for (let times = 2; times < 5; times++) {
      await clock.advance(KEPT_MS);
      expect(await find()).toBe(true);
      await eventually(() => asked.waiting === 1, "the set is asked for");
      await clock.advance(5_000);
      await gaveUp(times);
    }
    expect(asked.times).toBe(5);
  }
}, 300_000);

test("answers are signed by the key that is in its file now", async () => {
  const at = makeFolder();
  writeFileSync(at("answers.key"), makeSigningKey().privateKey);
  const sign = { issuer: "https://edge.example", key_id: "answers", key: at("answers.key") };
  const { signer, followed } = await follow({ sign });
  const before = signer();
  writeFileSync(at("answers.key"), "no key");
  expect(() => followed[0]!.take()).toThrow("it holds no private key");
  expect(signer()).toBe(before!);
  writeFileSync(at("answers.key"), makeSigningKey().privateKey);
  await followed[0]!.take();
  expect(signer()).not.toBe(before!);
}, 300_000);
