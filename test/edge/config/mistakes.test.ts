/** Mistakes that people make in a configuration: each is told by its line, as what was expected there. */
import { describe, expect, test } from "bun:test";
import { ConfigurationError } from "../../../src/base/config/configuration-error.ts";
import { parseConfiguration } from "../../../src/edge/config/load.ts";

const GOOD = `edge: { id: edge-1 }
key_source:
  use: core
  core: { url: "https://core.example:8443", ca: ca.pem, cert: edge.pem, key: edge.key }
cache: { ttl: 5m, refresh_after: 4m }
listeners:
  - { http: "127.0.0.1:7402", principal: local }
  - { unix: /run/edge.sock, mode: "0660", owner: ":997", principal: billing }
policies:
  - { principals: [local], tenants: ["*"], services: [billing], operations: [create] }
limits: { max_body: 16MiB }
log: { level: info }
`;

/** What it is, what is changed into what, the line that is told, and a part of what is said. */
const MISTAKES: readonly (readonly [name: string, from: string | RegExp, to: string, line: string, said: string])[] = [
  ["a line indented by a tab", "  use: core", "\tuse: core", ":3:1:", "Tabs are not allowed"],
  ["plain HTTP to the world", "127.0.0.1:7402", "0.0.0.0:7402", ":7:7:", "on a loopback address only"],
  ["a port without a host", '"127.0.0.1:7402"', '":7402"', ":7:7:", "an address such as 127.0.0.1:7402"],
  ["no listener at all", /listeners:[\s\S]*(?=policies)/, "", ":1:1:", '"listeners" is missing: give it a list'],
  ["a misspelt section", "listeners:", "listener:", ":6:1:", 'did you mean "listeners"?'],
  ["a misspelt key", "ttl: 5m", "tll: 5m", ":5:10:", 'did you mean "ttl"?'],
  ["a Core over plain HTTP", "https://core", "http://core", ":4:11:", "an https:// URL"],
  ["a duration without a unit", "ttl: 5m", "ttl: 300", ":5:10:", "such as 500ms, 30s, 5m or 1h, found 300"],
  ["a renewal after the end", "refresh_after: 4m", "refresh_after: 6m", ":5:19:", "must be shorter than cache.ttl"],
  ["a lease that is too long", "ttl: 5m", "ttl: 2h", ":5:10:", "at most 60m"],
  ["a mode that is a number", 'mode: "0660"', "mode: 0660", ":8:29:", 'in quotes, such as "0660"'],
  ["an owner by name", '":997"', '":clients"', ":8:43:", "numeric ids in quotes"],
  ["an owner that no system has", '":997"', '"99999999999:1"', ":8:43:", "at most 4294967294"],
  ["an owner that means none", '":997"', '"0:4294967295"', ":8:43:", "at most 4294967294"],
  ["an operation that there is not", "[create]", "[encript]", ":10:78:", '"create" or "decrypt" or "rewrap"'],
  ["a text for a list", "operations: [create]", "operations: create", ":10:65:", "expected a list"],
  ["a principal of no listener", "[local]", "[locl]", ":10:7:", "named are local, billing"],
  ["a size in other units", "16MiB", "16MB", ":11:11:", "such as 16KiB or 64MiB"],
  ["a key that is there twice", "log: {", "edge: { id: b }\nlog: {", ":12:1:", "Map keys must be unique"],
  ["a source that there is not", "use: core", "use: cor", ":3:3:", "expected a key source (core)"],
  ["too many workers", "log: {", "workers: 999\nlog: {", ":12:1:", 'from 1 to 256, or "auto"'],
  ["a level that there is not", "level: info", "level: trace", ":12:8:", '"debug" or "info" or "warn" or "error"'],
  ["an empty file", /[\s\S]+/, "", ":", '"edge" is missing'],
  ["a brace that is not closed", "{ id: edge-1 }", "{ id: edge-1", ":2:1:", "end with a }"],
];

function linesOf(text: string): readonly string[] {
  try {
    parseConfiguration(text, "/etc/edge.yaml", {}).check();
  } catch (error) {
    if (error instanceof ConfigurationError) return error.lines;
    throw error;
  }
  return [];
}

test("the configuration that they are made in has none", () => {
  expect(linesOf(GOOD)).toEqual([]);
});

describe("a mistake is found, with its line and what was expected:", () => {
  for (const [name, from, to, line, said] of MISTAKES) {
    test(name, () => {
      const text = GOOD.replace(from, () => to);
      expect(text).not.toBe(GOOD);
      const lines = linesOf(text);
      expect(lines.filter((told) => told.startsWith(`/etc/edge.yaml${line}`) && told.includes(said))).toHaveLength(1);
      // Those of a person who reads them, and nobody else.
      expect(lines.length).toBeLessThanOrEqual(3);
    });
  }
});
