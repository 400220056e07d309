/** `config check` finds whatever would stop `serve`, by line, and `serve` says the same. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createThrowAwayPki } from "../../src/base/pki/throw-away.ts";

const root = resolve(import.meta.dir, "../..");
const folder = mkdtempSync(join(tmpdir(), "crypto-edge-check-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(command: readonly string[]) {
  const child = Bun.spawnSync([process.execPath, join(root, "src/main.ts"), ...command], { timeout: 60_000 });
  return { exitCode: child.exitCode, stdout: child.stdout.toString(), stderr: child.stderr.toString() };
}

const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

beforeAll(async () => {
  const pki = await createThrowAwayPki();
  const one = await pki.edge("edge-1");
  const other = await pki.edge("edge-2");
  for (const [name, text] of Object.entries({
    "ca.pem": one.ca,
    "edge.pem": one.cert,
    "edge.key": one.key,
    "other.pem": other.cert,
    "other.key": other.key,
  })) {
    file(name, text);
  }
  mkdirSync(join(folder, "folder"));
  symlinkSync("nowhere/x", join(folder, "nothing"));
  symlinkSync(".", join(folder, "linked"));
  Bun.spawnSync(["mkfifo", join(folder, "fifo")]);
});

/** A configuration without a mistake, with lines in place of others. */
function configuration(changes: Readonly<Record<string, string>> = {}): string {
  const lines: Record<string, string> = {
    edge: "{ id: edge-1 }",
    key_source: '{ use: core, core: { url: "https://127.0.0.1:1", ca: ca.pem, cert: edge.pem, key: edge.key } }',
    listeners: '[{ https: "127.0.0.1:7443", cert: edge.pem, key: edge.key, client_ca: ca.pem }]',
    policies: '[{ principals: ["spiffe://*"], tenants: ["*"], services: ["*"], operations: [create] }]',
    key_memory: "{ dumpable: true }",
    ...changes,
  };
  return Object.entries(lines)
    .map(([key, value]) => `${key}: ${value}\n`)
    .join("");
}

const HTTPS = (rest: string): string => `[{ https: "127.0.0.1:7443", ${rest} }]`;

test("a configuration without a mistake has none", () => {
  const checked = run(["config", "check", file("good.yaml", configuration())]);
  expect(checked).toMatchObject({ exitCode: 0, stderr: "" });
  expect(checked.stdout).toEndWith("good.yaml: no mistakes\n");
});

describe("a mistake that no line shows by itself is found", () => {
  test.each<[string, Readonly<Record<string, string>>, string]>([
    [
      "a certificate that is not there",
      { listeners: HTTPS("cert: none.pem, key: edge.key, client_ca: ca.pem") },
      ":3:13: listeners[0]: ",
    ],
    [
      "a key of another certificate",
      { listeners: HTTPS("cert: edge.pem, key: other.key, client_ca: ca.pem") },
      "give the pair made together",
    ],
    [
      "an authority of the collector that is not there",
      { telemetry: '{ otlp: { url: "https://collector:4318", ca: none.pem } }' },
      ":6:14: telemetry.otlp: ",
    ],
    [
      "a collector without TLS on another machine",
      { telemetry: '{ otlp: { url: "http://collector:4318" } }' },
      "http:// is for a collector on this machine alone",
    ],
    [
      "a key given as a certificate",
      { listeners: HTTPS("cert: edge.key, key: edge.key, client_ca: ca.pem") },
      "holds no certificate in PEM",
    ],
    [
      "an end's certificate as the authority",
      { listeners: HTTPS("cert: edge.pem, key: edge.key, client_ca: edge.pem") },
      "holds no certificate of an authority",
    ],
    [
      "a FIFO as a certificate",
      { listeners: HTTPS("cert: fifo, key: edge.key, client_ca: ca.pem") },
      "fifo is not a file",
    ],
    [
      "a revocation list that is none",
      { listeners: HTTPS("cert: edge.pem, key: edge.key, client_ca: ca.pem, client_crl: [ca.pem]") },
      "not a certificate revocation list",
    ],
    [
      "a token issuer's keys that can't be read",
      {
        listeners: HTTPS(
          "cert: edge.pem, key: edge.key, client_ca: ca.pem, tokens: [{ issuer: a, audience: b, jwks: ca.pem }]",
        ),
      },
      "not a JWK set",
    ],
    [
      "two listeners on one port",
      { listeners: '[{ http: "127.0.0.1:7402", principal: a }, { http: "127.0.0.1:7402", principal: b }]' },
      "listeners[1].http: listeners[1] would listen where listeners[0] does already",
    ],
    [
      "metrics on a listener's port",
      { listeners: '[{ http: "127.0.0.1:7402", principal: a }]', metrics: '{ listen: "127.0.0.1:7402" }' },
      "metrics.listen",
    ],
    [
      "a socket in a folder that is not there",
      { listeners: "[{ unix: nowhere/edge.sock, principal: a }]" },
      "does not exist: make it",
    ],
    [
      "a shared socket's path that leaves no room for the names beside it",
      {
        listeners: `[{ unix: "${join(tmpdir(), "s".repeat(98 - tmpdir().length - 1))}", shared: true, principal: a }]`,
      },
      "has more than 97 bytes",
    ],
    [
      "another edge's certificate",
      {
        key_source: '{ use: core, core: { url: "https://127.0.0.1:1", ca: ca.pem, cert: other.pem, key: other.key } }',
      },
      'the certificate is that of the edge "edge-2", but edge.id says "edge-1"',
    ],
    [
      "a missing key for the Core",
      { key_source: '{ use: core, core: { url: "https://127.0.0.1:1", ca: ca.pem, cert: edge.pem, key: none.key } }' },
      "none.key can't be read (ENOENT)",
    ],
    [
      "one port by two names",
      { listeners: '[{ http: "localhost:7402", principal: a }, { http: "127.0.0.1:7402", principal: b }]' },
      "listeners[1] would listen where listeners[0] does already",
    ],
    [
      "an address in all of them",
      {
        listeners: '[{ http: "127.0.0.1:7402", principal: a }]',
        metrics: '{ listen: "0.0.0.0:7402" }',
      },
      "metrics would listen where listeners[0] does already",
    ],
    [
      "an address that is another machine's",
      { listeners: '[{ https: "192.0.2.1:7443", cert: edge.pem, key: edge.key, client_ca: ca.pem }]' },
      "this machine can't listen on 192.0.2.1 (EADDRNOTAVAIL)",
    ],
    [
      "one socket by two paths",
      { listeners: "[{ unix: edge.sock, principal: a }, { unix: linked/edge.sock, principal: b }]" },
      "listeners[1] would listen where listeners[0] does already",
    ],
    [
      "a socket's path that is a link to nothing",
      { listeners: "[{ unix: nothing, principal: a }]" },
      "nothing is there and is no socket",
    ],
    [
      "a Core's URL with a path",
      {
        key_source:
          '{ use: core, core: { url: "https://127.0.0.1:1/core", ca: ca.pem, cert: edge.pem, key: edge.key } }',
      },
      "the Core's URL is a host and a port alone",
    ],
    ["a FIPS module that is not here", { cipher: "{ require_fips: true }" }, ":6:1: cipher.use: No FIPS provider"],
    [
      "a plugin's section that its schema can't judge",
      {
        plugins: JSON.stringify([join(root, "plugins/nats")]),
        revocation: '{ transports: [{ use: nats, nats: { servers: ["nats://127.0.0.1:1"], user: a } }] }',
      },
      "user and password go together",
    ],
    [
      "an audit file that is a key",
      { audit: "{ file: { path: edge.key } }" },
      "edge.key is there and is no audit file",
    ],
    [
      "an audit file that is a link to nothing",
      { audit: "{ file: { path: nothing } }" },
      "nothing is a link to nothing",
    ],
    ["a time that no timer has", { stop_timeout: "9999999d" }, "9999999d is too long: at most 60m"],
    ["a time of months", { limits: "{ idle_timeout: 90d }" }, "90d is too long: at most 24d"],
    ["a body that no memory has", { limits: "{ max_body: 4GiB }" }, "4GiB is too large: at most 256MiB"],
    ["an audit file that is a folder", { audit: "{ file: { path: folder } }" }, "folder is not a file"],
  ])("%s", (_, changes, sentence) => {
    const path = file("bad.yaml", configuration(changes));
    const checked = run(["config", "check", path]);
    expect(checked.stderr).toContain(sentence);
    expect(checked.stderr).toContain(`${path}:`);
    expect(checked.exitCode).toBe(1);
    const { ok, problems } = JSON.parse(run(["config", "check", "--json", path]).stdout);
    expect(ok).toBe(false);
    expect(problems.join()).toContain(sentence);
  });
});

test("what may surprise is noted, and is no mistake", async () => {
  const pki = await createThrowAwayPki();
  const { makeAuthority } = await import("../support/certificates.ts");
  const authority = await makeAuthority();
  const expired = await authority.issue({ dns: ["localhost"], notAfter: new Date(Date.now() - 1_000) });
  file("expired.pem", expired.certificate);
  file("expired.key", expired.key);
  expect(pki).toBeDefined();
  const path = file(
    "noted.yaml",
    configuration({ policies: "[]", listeners: HTTPS("cert: expired.pem, key: expired.key, client_ca: ca.pem") }),
  );
  const { exitCode, stdout } = run(["config", "check", path]);
  expect(exitCode).toBe(0);
  expect(stdout).toContain("note: there are no policies: nobody may do anything");
  expect(stdout).toMatch(/note: the certificate .*expired\.pem of the listener on 127\.0\.0\.1:7443 ends on 20/);
});

test("two issuers of tokens need names, since their subjects could be equal", () => {
  const jwks = file("jwks.json", JSON.stringify({ keys: [] }));
  const tokens = (names: readonly [string, string]): string =>
    HTTPS(
      `cert: edge.pem, key: edge.key, client_ca: ca.pem, tokens: [{ ${names[0]}issuer: "https://a", audience: e, jwks: "${jwks}" }, { ${names[1]}issuer: "https://b", audience: e, jwks: "${jwks}" }]`,
    );
  const stderrOf = (names: readonly [string, string]): string =>
    run(["config", "check", file("tokens.yaml", configuration({ listeners: tokens(names) }))]).stderr;
  expect(stderrOf(["", ""])).toContain('give each a "name"');
  expect(stderrOf(["name: a, ", ""])).toContain('give each a "name"');
  expect(stderrOf(["name: a, ", "name: a, "])).toContain('another issuer has the name "a"');
  expect(stderrOf(["name: a, ", "name: b, "])).toBe("");
});
