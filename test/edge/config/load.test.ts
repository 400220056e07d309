import { describe, expect, test } from "bun:test";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Type } from "@sinclair/typebox";
import { ConfigurationError } from "../../../src/base/config/configuration-error.ts";
import { Secret, Section } from "../../../src/base/config/schema-types.ts";
import { parseConfiguration, readConfiguration } from "../../../src/edge/config/load.ts";
import { NO_CONTRIBUTIONS } from "../../../src/edge/config/schema.ts";

const VALID = `
edge: { id: edge-1 }
key_source:
  use: core
  core: { url: https://core.example:8443, ca: ca.pem, cert: edge.pem, key: edge.key }
listeners:
  - { http: 127.0.0.1:7402, principal: local }
`;

function mistakes(text: string, environment: NodeJS.ProcessEnv = {}): readonly string[] {
  try {
    parseConfiguration(text, "/etc/edge.yaml", environment).check();
  } catch (error) {
    if (error instanceof ConfigurationError) return error.lines;
    throw error;
  }
  return [];
}

describe("a configuration without mistakes", () => {
  test("comes out in the program's own units, with its defaults and absolute paths", () => {
    const configuration = parseConfiguration(VALID, "/etc/edge.yaml").check();
    expect(configuration.cache).toMatchObject({ ttl: 300_000, refresh_after: 240_000, max_leases: 10_000 });
    expect(configuration.key_source.core?.ca).toBe("/etc/ca.pem");
    expect(configuration.listeners[0]).toMatchObject({ http: { host: "127.0.0.1", port: 7402 } });
    expect(configuration.policies).toEqual([]);
  });

  test("is overridden by the environment, by path, whatever underscores the names have", () => {
    const environment = { CRYPTO_EDGE_CACHE_MAX_LEASES: "7", CRYPTO_EDGE_CACHE_REFRESH_AFTER: "2m", HOME: "/root" };
    const configuration = parseConfiguration(VALID, "/etc/edge.yaml", environment).check();
    expect(configuration.cache).toMatchObject({ max_leases: 7, refresh_after: 120_000 });
  });
});

describe("a mistake", () => {
  test("is told with its line, path, what was expected, and the nearest name; all of them together", () => {
    const lines = mistakes(`edge: { id: edge-1 }
key_sorce: {}
key_source:
  use: core
  core: { url: http://core.example, ca: ca.pem, cert: edge.pem, key: edge.key }
cache: { ttl: 5 minutes, max_leases: many }
listeners:
  - { unx: /run/edge.sock, principal: local }
`);
    expect(lines).toEqual([
      '/etc/edge.yaml:2:1: key_sorce: unknown key "key_sorce"; did you mean "key_source"?',
      '/etc/edge.yaml:5:11: key_source.core.url: expected an https:// URL, found "http://core.example"',
      '/etc/edge.yaml:6:10: cache.ttl: expected a duration such as 500ms, 30s, 5m or 1h, found "5 minutes"',
      '/etc/edge.yaml:6:26: cache.max_leases: expected a whole number from 1 up to 1000000, found "many"',
      '/etc/edge.yaml:8:7: listeners[0].unx: unknown key "unx"; did you mean "unix"?',
      expect.stringContaining('/etc/edge.yaml:8:5: listeners[0]: "unix" is missing'),
    ]);
  });

  test("of YAML itself is told with its line", () => {
    expect(mistakes("edge: { id: edge-1\nlisteners: [")[0]).toMatch(/^\/etc\/edge\.yaml:\d+:\d+: not YAML: /);
  });

  test("in an environment variable names the variable, and the nearest one when there is no such", () => {
    expect(mistakes(VALID, { CRYPTO_EDGE_CACHE_TTL: "soon" })[0]).toStartWith(
      "environment variable CRYPTO_EDGE_CACHE_TTL: cache.ttl: expected a duration",
    );
    expect(mistakes(VALID, { CRYPTO_EDGE_CACHE_TTLS: "1m" })[0]).toBe(
      "environment: unknown variable CRYPTO_EDGE_CACHE_TTLS; did you mean CRYPTO_EDGE_CACHE_TTL?",
    );
  });

  test("is not seen in the variable that names the edge to call, for the commands that call one", () => {
    expect(mistakes(VALID, { CRYPTO_EDGE_URL: "http://127.0.0.1:7402" })).toEqual([]);
  });

  test("between values is told too: a renewal after the deadline, plain HTTP to the world, a source without its section", () => {
    expect(mistakes(`${VALID}cache: { ttl: 1m, refresh_after: 2m }`)[0]).toContain(
      "cache.refresh_after: must be shorter than cache.ttl",
    );
    expect(mistakes(VALID.replace("127.0.0.1:7402", "0.0.0.0:7402"))[0]).toContain(
      "plain HTTP is served on a loopback address only",
    );
    expect(mistakes(VALID.replace(/ {2}core: .*\n/, ""))[0]).toContain('the section "core:" must stand beside it');
  });

  test("in a file that is missing says which file and what to do", () => {
    expect(() => readConfiguration("/nowhere/edge.yaml")).toThrow(
      "/nowhere/edge.yaml can't be read (ENOENT): check the path and its permissions, and give it with --config FILE.",
    );
  });

  test("never repeats long text, which could be a secret in the wrong place", () => {
    const secret = "x".repeat(64);
    expect(mistakes(VALID.replace("edge-1", `"${secret}/"`)).join()).not.toContain(secret);
  });
});

test("a plugin's section is checked with everything else", () => {
  const contributed = { ...NO_CONTRIBUTIONS, keySources: { static: Section({ keys: Type.Array(Type.String()) }) } };
  const text = VALID.replace("use: core", "use: static").replace(/ {2}core: .*\n/, "  static: { kees: [] }\n");
  expect(() => parseConfiguration(text, "edge.yaml").check(contributed)).toThrow(
    'unknown key "kees"; did you mean "keys"?',
  );
});

test("a secret comes from a file, without its final line break", () => {
  const directory = mkdtempSync(join(tmpdir(), "crypto-edge-"));
  writeFileSync(join(directory, "pin"), "1234\n");
  const contributed = {
    ...NO_CONTRIBUTIONS,
    keySources: { hsm: Section({ pin: Secret() }) },
  };
  const text = VALID.replace("use: core", "use: hsm").replace(/ {2}core: .*\n/, "  hsm: { pin: 'file:pin' }\n");
  const configuration = parseConfiguration(text, join(directory, "edge.yaml")).check(contributed);
  expect((configuration.key_source as Record<string, unknown>).hsm).toEqual({ pin: "1234" });
});
