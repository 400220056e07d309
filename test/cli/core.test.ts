import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readCoreCertificates } from "../../src/edge/key-source/core/core-certificates.ts";
import { createCoreClient } from "../../src/edge/key-source/core/core-client.ts";
import { backToFirstSchema } from "../core/support/first-schema.ts";

/** For a busy machine. */
setDefaultTimeout(120_000);

/** The commands of docs/core.md, as processes, in the order of that page. */
const main = join(import.meta.dir, "../../src/main.ts");
let directory: string;
const children: Bun.Subprocess[] = [];

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "cli-core-"));
});
afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
});

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

/** A Core, once it serves. */
async function serve(config = "core.yaml") {
  const child = Bun.spawn([process.execPath, main, "core", "serve", "--config", config], {
    cwd: directory,
    stdout: "pipe",
    stderr: "pipe",
  });
  children.push(child);
  let text = "";
  for await (const chunk of child.stdout) {
    text += Buffer.from(chunk).toString();
    if (text.includes("ready")) break;
  }
  return { child, url: /https:\S+/.exec(text)![0] };
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
    const dry = await admin("revoke", "tenant-a", "billing", "--key-version", "2", "--dry-run");
    expect(dry.out).toMatch(/^nothing was changed; 0 operations were reported since 20/);
    expect(dry.out).toContain("lease of versions");
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

  test("migrate brings a database of crypto-edge 0.1 to this version's tables: keys, log and usage are those that were there", async () => {
    const text = readFileSync(join(directory, "core.yaml"), "utf8");
    const config = (name: string): string => {
      writeFileSync(join(directory, `${name}.yaml`), text.replace("core.db", `${name}.db`));
      return `${name}.yaml`;
    };
    const tables = (name: string) => {
      const db = new Database(join(directory, `${name}.db`), { readonly: true });
      const names = db.query("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").values().flat();
      const [version] = db.query("PRAGMA user_version").values().flat();
      db.close();
      return { names, version };
    };
    const migrate = (name: string) => run("core", "migrate", "--config", config(name));
    const done = { code: 0, out: expect.stringMatching(/\.db: its tables are those of this version\n$/), err: "" };

    // Where there is no database yet, it makes one.
    expect(await migrate("empty")).toEqual(done);
    const own = tables("empty");

    const made = await serve(config("first"));
    for (const args of [["service", "create"], ["rotate"]]) {
      expect(await run("core", ...args, "tenant-a", "billing", "--url", made.url)).toMatchObject({ code: 0 });
    }
    const services = (await run("core", "service", "list", "tenant-a", "--url", made.url)).out;
    expect(await migrate("first")).toMatchObject({ code: 1, err: expect.stringContaining("in use by another Core") });
    made.child.kill("SIGTERM");
    expect(await made.child.exited).toBe(0);

    const { lastSeq } = backToFirstSchema(join(directory, "first.db"));
    expect(tables("first")).not.toEqual(own);
    expect(tables("first").version).toBe(1);
    expect(await migrate("first")).toEqual(done);
    expect(tables("first")).toEqual(own);
    expect(await migrate("first")).toEqual(done);
    expect(tables("first")).toEqual(own);

    const core = await serve("first.yaml");
    const admin = (...args: string[]) => run("core", ...args, "--url", core.url);
    expect((await admin("service", "list", "tenant-a")).out).toBe(services);
    expect(JSON.parse((await admin("usage", "--json")).out)).toMatchObject({ usage: [{ edge: "edge-1", count: 7 }] });
    expect((await admin("rotate", "tenant-a", "billing")).out).toContain(
      `version 3 is active now (event ${lastSeq + 1})`,
    );
    core.child.kill("SIGTERM");
    expect(await core.child.exited).toBe(0);

    const db = new Database(join(directory, "first.db"));
    db.run("PRAGMA user_version = 99");
    db.close();
    expect(await migrate("first")).toMatchObject({
      code: 1,
      err: expect.stringContaining("made by a newer crypto-edge"),
    });
  });

  test("events shows the log and ends; with --follow it goes on with what comes, until it is ended or its Core is", async () => {
    const text = readFileSync(join(directory, "core.yaml"), "utf8");
    writeFileSync(join(directory, "followed.yaml"), text.replace("core.db", "followed.db"));
    const core = await serve("followed.yaml");
    const admin = (...args: string[]) => run("core", ...args, "--url", core.url);
    expect(await admin("service", "create", "tenant-a", "billing")).toMatchObject({ code: 0 });
    for (let rotation = 0; rotation < 2; rotation++) await admin("rotate", "tenant-a", "billing");
    const line = (version: number, seq: number): string =>
      `tenant-a/billing version ${version} is active now (event ${seq})`;
    const shown = (output: string): string[] =>
      output
        .split("\n")
        .slice(0, -1)
        .map((one) => one.replace(/^\d{4}-\d\d-\d\dT[\d:.]+Z {2}/, ""));
    expect(shown((await admin("events")).out)).toEqual([line(2, 1), line(3, 2)]);
    expect(shown((await admin("events", "--after", "1")).out)).toEqual([line(3, 2)]);

    const follow = (...args: string[]) => {
      const child = Bun.spawn([process.execPath, main, "core", "events", "--follow", ...args, "--url", core.url], {
        cwd: directory,
        env: { PATH: process.env.PATH ?? "" },
        stdout: "pipe",
        stderr: "pipe",
      });
      children.push(child);
      const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
      let output = "";
      const lines = async (count: number): Promise<string[]> => {
        while (shown(output).length < count) {
          const { done, value } = await reader.read();
          if (done) throw new Error(`it ended after ${output}`);
          output += value;
        }
        return shown(output);
      };
      return { child, lines };
    };
    const all = follow();
    const newOnly = follow("--after", "2", "--json");
    expect(await all.lines(2)).toEqual([line(2, 1), line(3, 2)]);
    await admin("revoke", "tenant-a", "billing", "--key-version", "2");
    const revoked = "tenant-a/billing version 2 is compromised (event 3)";
    expect(await all.lines(3)).toEqual([line(2, 1), line(3, 2), revoked]);
    await admin("rotate", "tenant-a", "billing");
    expect(await all.lines(4)).toEqual([line(2, 1), line(3, 2), revoked, line(4, 4)]);
    expect((await newOnly.lines(2)).map((one) => JSON.parse(one))).toMatchObject([
      { seq: 3, type: "revoke", version: 2 },
      { seq: 4, type: "rotate", version: 4 },
    ]);

    newOnly.child.kill("SIGINT");
    await newOnly.child.exited;
    core.child.kill("SIGTERM");
    expect(await all.child.exited).toBe(1);
    expect(await new Response(all.child.stderr).text()).toMatch(/^crypto-edge: .*can't be reached/);
  });
});
