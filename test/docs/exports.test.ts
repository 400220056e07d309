/** docs/architecture.md: what a file of `src/` exports is imported by other code, or by a test, and then with a reason. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { ROOT } from "../support/pages.ts";

const BOUND = "Tests go up to the bound, and one beyond it.";
const PART = "A test tries this part by itself, in all its cases.";
const ADAPTER = "Tests look behind the port, at what the adapter holds.";
const TABLE = "Tests hold pages and answers to the table.";

/** Values that only tests import. */
const FOR_TESTS: Readonly<Record<string, string>> = {
  "src/base/errors.ts ERRORS": TABLE,
  "src/base/errors.ts HTTP_ERRORS": TABLE,
  "src/base/errors.ts HTTP_STATUS": TABLE,
  "src/base/network/tls/handshake-limit.ts networkOf": PART,
  "src/base/network/trace-context.ts newRequestId": PART,
  "src/base/network/trace-context.ts traceIdOf": PART,
  "src/base/pki/pem.ts readPrivateKey": PART,
  "src/base/pki/revocation-list.ts RevocationListError": PART,
  "src/base/system/descriptors.ts DescriptorRoom": PART,
  "src/base/system/service-manager.ts watchdogMs": PART,
  "src/core/console/overview-page.ts problemsOf": PART,
  "src/core/load-core.ts signInOf": PART,
  "src/core/master-key.ts parseMasterKey": PART,
  "src/core/watch-listener.ts readinessOf": PART,
  "src/edge/access/glob.ts compileGlob": PART,
  "src/edge/cipher/freed-keys.ts overwriteFreedKeys":
    "The test of residue overwrites all at once, where the edge takes small steps.",
  "src/edge/cipher/node-adapter.ts NodeAdapter": ADAPTER,
  "src/edge/cipher/openssl/adapter.ts OpensslAdapter": ADAPTER,
  "src/edge/cipher/sessions.ts BLOBS_PER_SALT_MAX": BOUND,
  "src/edge/config/load.ts parseConfiguration": "Tests of settings need no file.",
  "src/edge/doors/kes/door.ts createKesDoor": PART,
  "src/edge/doors/kmip/door.ts createKmipDoor": PART,
  "src/edge/doors/kmip/ttlv.ts DEPTH_MAX": BOUND,
  "src/edge/doors/kmip/ttlv.ts ITEMS_MAX": BOUND,
  "src/edge/doors/native/openapi.ts REFUSALS": TABLE,
  "src/edge/key-source/core/core-clients.ts combineCoreClients": PART,
  "src/edge/key-source/core/hpke-open.ts recipientOf": "The published vectors of HPKE give the key and the info.",
  "src/edge/telemetry/operation-latency.ts BUCKETS_MS": BOUND,
  "src/edge/usage/audit-file.ts rotatedFiles": PART,
  "src/edge/usage/usage-counters.ts MERGED": PART,
};

/** What others import from the npm package, and what the kit writes for the author of a plugin. */
const PUBLISHED = /^src\/sdk\/(?:(?:client|files|plugin|conformance|records)\/index\.ts|template\/)/;
const VALUE = /^export (?:abstract )?(?:async )?(?:class|function\*?|const|let|enum) (\w+)/gm;
const TYPE = /^export (?:interface|type) (\w+)/gm;
const LIST = /^export (?:type )?\{([^}]*)\}/gm;
const IMPORT =
  /^(?:import|export) (?:type )?(?:\{(?<names>[^}]*)\}|\*(?: as (?<space>\w+))?) from "(?<path>\.[^"]+)"|import\(\s*"(?<later>\.[^"]+)"/gm;

function textsOf(...folders: readonly string[]): Map<string, string> {
  const files = folders.flatMap((folder) =>
    (readdirSync(join(ROOT, folder), { recursive: true }) as string[])
      .filter((file) => file.endsWith(".ts") && !file.includes("node_modules"))
      .map((file) => join(folder, file)),
  );
  return new Map(files.map((file) => [file, readFileSync(join(ROOT, file), "utf8")]));
}

const namesIn = (list: string): string[] =>
  list
    .split(",")
    .map((name) => name.trim().replace(/^type /, ""))
    .filter((name) => name !== "");

/** `file name` of each import of one of our files; a whole module counts with the names that the importer's text has. */
function importedBy(texts: ReadonlyMap<string, string>): Set<string> {
  const imported = new Set<string>();
  for (const [file, text] of texts) {
    for (const { groups } of text.matchAll(IMPORT)) {
      const { names, space, path, later } = groups as Record<string, string | undefined>;
      const target = normalize(join(dirname(file), (path ?? later)!));
      const taken =
        names !== undefined
          ? namesIn(names).map((name) => name.split(" as ")[0]!)
          : exportsOf(target).filter(
              (name) => (space === undefined && later === undefined) || new RegExp(`\\b${name}\\b`).test(text),
            );
      for (const name of taken) imported.add(`${target} ${name}`);
    }
  }
  return imported;
}

function valuesOf(file: string): string[] {
  return [...(code.get(file) ?? "").matchAll(VALUE)].map(([, name]) => name!);
}

function exportsOf(file: string): string[] {
  const text = code.get(file) ?? "";
  return [
    ...valuesOf(file),
    ...[...text.matchAll(TYPE)].map(([, name]) => name!),
    ...[...text.matchAll(LIST)].flatMap(([, list]) => namesIn(list!).map((name) => name.split(" as ").at(-1)!)),
  ];
}

const code = textsOf("src", "plugins", "bench", "scripts", "packaging", "examples");
code.set("build.ts", readFileSync(join(ROOT, "build.ts"), "utf8"));
const byCode = importedBy(code);
const byTests = importedBy(textsOf("test", "plugins"));

const files = [...code.keys()].filter((file) => file.startsWith("src/") && !PUBLISHED.test(file));
const unused = files.flatMap((file) =>
  valuesOf(file)
    .map((name) => `${file} ${name}`)
    .filter((one) => !byCode.has(one)),
);

describe("an export", () => {
  test("is found, and so are its imports", () => {
    expect(files.length).toBeGreaterThan(400);
    expect(byCode.size).toBeGreaterThan(1_500);
    expect(byCode.has("src/base/errors.ts OperationError")).toBe(true);
  });

  test("of a value is imported by code, or has the reason why tests alone do", () => {
    expect(unused.filter((one) => FOR_TESTS[one] === undefined)).toEqual([]);
  });

  test("of a type is used, if not elsewhere then in its file, by what that exports", () => {
    const isUsed = (file: string, name: string): boolean =>
      byCode.has(`${file} ${name}`) || code.get(file)!.split(new RegExp(`\\b${name}\\b`)).length > 2;
    const dead = files.flatMap((file) =>
      [...code.get(file)!.matchAll(TYPE)]
        .filter(([, name]) => !isUsed(file, name!))
        .map(([, name]) => `${file} ${name}`),
    );
    expect(dead).toEqual([]);
  });

  test("for tests is one that tests import, and code does not", () => {
    expect(Object.keys(FOR_TESTS).filter((one) => !unused.includes(one) || !byTests.has(one))).toEqual([]);
  });
});
