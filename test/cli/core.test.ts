import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readCoreCertificates } from "../../src/edge/key-source/core/core-certificates.ts";
import { createCoreClient } from "../../src/edge/key-source/core/core-client.ts";

/** For a busy machine. */
setDefaultTimeout(30_000);

/** The commands of docs/core.md, as processes, in the order of that page. */
const main = join(import.meta.dir, "../../src/main.ts");
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "cli-core-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const child = Bun.spawn([process.execPath, main, ...args], {
    cwd: directory,
    env: { PATH: process.env.PATH ?? "" },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, out, err };
}

describe("crypto-edge pki", () => {
  test("makes an authority and certificates, keys for their owner's eyes alone, and says what it made", async () => {
    const init = await run("pki", "init", "--trust-domain", "example.org");
    expect(init).toMatchObject({ code: 0, err: "" });
    expect(init.out).toContain("identity     spiffe://example.org");
    expect((await run("pki", "core", "--dns", "localhost", "--ip", "127.0.0.1")).out).toContain("localhost, 127.0.0.1");
    expect((await run("pki", "core", "--admin")).out).toContain("spiffe://example.org/core/admin");
    const edge = await run("pki", "edge", "edge-1", "--json");
    expect(JSON.parse(edge.out)).toMatchObject({
      id: "spiffe://example.org/edge/edge-1",
      certificate: "pki/edge-1.pem",
      key: "pki/edge-1.key",
    });
    expect((await run("pki", "client", "billing/api")).out).toContain("pki/billing-api.pem");
    for (const name of ["ca", "core", "core-admin", "edge-1", "billing-api"]) {
      expect(statSync(join(directory, "pki", `${name}.key`)).mode & 0o777).toBe(0o600);
    }
    expect(statSync(join(directory, "pki")).mode & 0o777).toBe(0o700);
  });

  test("overwrites nothing unless it is forced to", async () => {
    const before = readFileSync(join(directory, "pki/edge-1.pem"), "utf8");
    const again = await run("pki", "edge", "edge-1");
    expect(again.code).toBe(1);
    expect(again.err).toContain("exists: give --force to replace it");
    expect(readFileSync(join(directory, "pki/edge-1.pem"), "utf8")).toBe(before);
    expect((await run("pki", "edge", "edge-1", "--force")).code).toBe(0);
    expect(readFileSync(join(directory, "pki/edge-1.pem"), "utf8")).not.toBe(before);
    expect(statSync(join(directory, "pki/edge-1.key")).mode & 0o777).toBe(0o600);
  });

  test("keeps a list of what was revoked", async () => {
    expect(JSON.parse((await run("pki", "revoke", "pki/billing-api.pem", "--json")).out)).toMatchObject({ entries: 1 });
    expect((await run("pki", "revoke", "pki/edge-1.pem")).out).toContain("2 revoked");
    expect(readFileSync(join(directory, "pki/crl.pem"), "utf8")).toContain("BEGIN X509 CRL");
  });

  test("used wrongly exits with 2, failing with 1, and both say why", async () => {
    expect(await run("pki", "init")).toMatchObject({ code: 2 });
    expect(await run("pki", "edge", "a", "--days", "soon")).toMatchObject({ code: 2 });
    expect((await run("pki", "edge", "a", "--dir", "nowhere")).err).toContain("make the CA first");
    expect((await run("pki", "edge", "a/b")).err).toContain("is no edge id");
    expect((await run("pki", "--help")).out).toContain("crypto-edge pki edge edge-1");
  });
});

describe("crypto-edge core", () => {
  test("serves from its configuration, obeys its administrator, and loses nothing when it is restarted", async () => {
    writeFileSync(join(directory, "master.key"), randomBytes(32).toString("hex"), { mode: 0o600 });
    writeFileSync(
      join(directory, "core.yaml"),
      [
        "listen: 127.0.0.1:0",
        "database: core.db",
        "master_key: { file: master.key }",
        "tls: { cert: pki/core.pem, key: pki/core.key, client_ca: pki/ca.pem }",
        "allow:",
        '  - { edges: ["edge-*"], tenants: ["tenant-*"], services: ["*"] }',
        "lease: { ttl: 1m, refresh_after: 45s }",
      ].join("\n"),
    );
    const serve = async () => {
      const child = Bun.spawn([process.execPath, main, "core", "serve", "--config", "core.yaml"], {
        cwd: directory,
        stdout: "pipe",
        stderr: "pipe",
      });
      let text = "";
      for await (const chunk of child.stdout) {
        text += Buffer.from(chunk).toString();
        if (text.includes("ready")) break;
      }
      return { child, url: /https:\S+/.exec(text)![0] };
    };
    const first = await serve();
    const admin = (...args: string[]) => run("core", ...args, "--url", first.url);
    expect(await admin("service", "create", "tenant-a", "billing")).toMatchObject({
      code: 0,
      out: "service tenant-a/billing made, version 1 active\n",
      err: "",
    });
    expect((await admin("rotate", "tenant-a", "billing")).out).toBe(
      "tenant-a/billing version 2 is active now (event 1)\n",
    );
    expect(
      (await admin("revoke", "tenant-a", "billing", "--key-version", "2", "--reason", "lost", "--rotate")).out,
    ).toBe("tenant-a/billing version 2 is compromised (event 2)\ntenant-a/billing version 3 is active now (event 3)\n");
    expect((await admin("restore", "tenant-a", "billing", "--key-version", "2")).out).toContain("restored (event 4)");
    expect(await admin("destroy", "tenant-a", "billing", "--key-version", "1")).toMatchObject({ code: 2 });
    expect((await admin("destroy", "tenant-a", "billing", "--key-version", "1", "--yes")).out).toContain("destroyed");
    expect(await admin("rotate", "tenant-a", "nothing")).toMatchObject({
      code: 1,
      err: "crypto-edge: there is no service tenant-a/nothing at this Core\n",
    });
    expect(JSON.parse((await admin("tenant", "list", "--json")).out).tenants).toMatchObject([{ tenant: "tenant-a" }]);
    expect((await admin("service", "list", "tenant-a")).out).toContain("destroyed");

    for (const scope of [["tenant-a", "billing"], ["tenant-a"]]) {
      expect((await admin("revoke", ...scope)).out).toContain("is compromised");
      expect((await admin("restore", ...scope)).out).toContain("is restored");
    }
    expect((await admin("roll-signing-key")).out).toStartWith("new key ");
    expect(JSON.parse((await admin("usage", "--json")).out)).toEqual({ usage: [] });

    const certificates = readCoreCertificates({
      ca: join(directory, "pki/ca.pem"),
      cert: join(directory, "pki/edge-1.pem"),
      key: join(directory, "pki/edge-1.key"),
    });
    const lease = async (url: string) => {
      const client = createCoreClient({ url, certificates });
      try {
        return await client.lease({ tenant: "tenant-a", service: "billing" });
      } finally {
        client.close();
      }
    };
    const before = await lease(first.url);
    expect(before).toMatchObject({ ttlMs: 60_000, revocationSeq: 9 });
    expect((await admin("edges")).out).toContain("edge-1");
    first.child.kill("SIGHUP");
    first.child.kill("SIGTERM");
    expect(await first.child.exited).toBe(0);

    const second = await serve();
    expect(await lease(second.url)).toEqual(before);
    second.child.kill("SIGINT");
    expect(await second.child.exited).toBe(0);
    expect((await admin("tenant", "list")).err).toContain("can't be reached (nothing listens there)");
  }, 300_000);

  test("says every mistake of its configuration at once, and what is wrong with its master key without showing it", async () => {
    writeFileSync(join(directory, "bad.yaml"), "lisen: x\nallow: [{ edgs: [a] }]\nlease: { ttl: forever }\n");
    const bad = await run("core", "serve", "--config", "bad.yaml");
    expect(bad.code).toBe(1);
    for (const part of [
      'did you mean "listen"?',
      'did you mean "edges"?',
      "lease.ttl: expected a duration",
      '"database" is missing',
    ]) {
      expect(bad.err).toContain(part);
    }
    const text = readFileSync(join(directory, "core.yaml"), "utf8");
    writeFileSync(join(directory, "short.key"), "secretsecretsecret", { mode: 0o600 });
    writeFileSync(join(directory, "short.yaml"), text.replace("master.key", "short.key"));
    const short = await run("core", "serve", "--config", "short.yaml");
    expect(short.err).toContain("must be 32 bytes");
    expect(short.err).not.toContain("secretsecret");
    writeFileSync(join(directory, "other.key"), randomBytes(32), { mode: 0o600 });
    writeFileSync(join(directory, "other.yaml"), text.replace("master.key", "other.key"));
    expect((await run("core", "serve", "--config", "other.yaml")).err).toContain("the key that it was made with");
    chmodSync(join(directory, "other.key"), 0o644);
    expect((await run("core", "serve", "--config", "other.yaml")).err).toContain("open to everybody");
  });

  test("config check says without starting what serve would say, each with its line and the nearest name", async () => {
    expect(await run("core", "config", "check", "core.yaml")).toMatchObject({
      code: 0,
      out: "core.yaml: no mistakes\n",
    });
    const check = async (text: string) => {
      writeFileSync(join(directory, "checked.yaml"), text);
      return run("core", "config", "check", "checked.yaml");
    };
    const good = readFileSync(join(directory, "core.yaml"), "utf8");
    const unknown = await check(`${good}\nretaind_events: 5\n`);
    expect(unknown.code).toBe(1);
    expect(unknown.err).toMatch(/checked\.yaml:\d+:1: retaind_events: .*did you mean "retained_events"\?/);
    expect((await check(good.replace("core.key", "core-admin.key"))).err).toContain("is not that of the certificate");
    expect((await check(good.replace("master.key", "nothing.key"))).err).toMatch(/master_key: .*can't be read/);
    expect((await check(good.replace(/database: .*/, "database: postgres://db/core"))).err).toContain("name the user");
    const json = await run("core", "config", "check", "--json", "checked.yaml");
    expect(JSON.parse(json.out)).toMatchObject({ ok: false });
  });
});
