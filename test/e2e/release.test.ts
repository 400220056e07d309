/** `npm run release`: everything of dist, in one command, and the same bytes wherever and by whomever a commit is released. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { VERSION } from "../../src/base/version.ts";
import { npmFolder, run as runIn } from "../integration/support/npm-folder.ts";
import { run, temporaryFolder } from "./support/binary.ts";

setDefaultTimeout(1_800_000);

const ROOT = resolve(import.meta.dir, "../..");
const OWN = `crypto-edge-${process.platform}-${process.arch}`;
const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

/** Of the last commit, in a checkout of its own, which is installed already. @returns its dist. */
function release(checkout: string, environment: Readonly<Record<string, string>>, umask: string): string {
  mkdirSync(dirname(checkout), { recursive: true });
  runIn(["git", "clone", "--quiet", ROOT, checkout], ROOT);
  runIn(["cp", "-a", join(ROOT, "node_modules"), join(checkout, "node_modules")], ROOT);
  const env = { ...environment, CI: "true" };
  runIn(["sh", "-c", `umask ${umask}; exec npm run --silent release`], checkout, env, 1_700_000);
  return join(checkout, "dist");
}

function sumsOf(dist: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(dist)
      .sort()
      .map((name) => [
        name,
        createHash("sha256")
          .update(readFileSync(join(dist, name)))
          .digest("hex"),
      ]),
  );
}

describe("a release", () => {
  let dist: string;
  beforeAll(() => {
    dist = release(folder.file("here"), { TZ: "UTC" }, "022");
  });

  test("is the same, byte for byte, from another folder, time zone, language and umask", () => {
    const elsewhere = { TZ: "Asia/Tokyo", LANG: "C.UTF-8", HOSTNAME: "other", USER: "other" };
    const other = release(folder.file("a/rather longer/path"), elsewhere, "077");
    expect(sumsOf(other)).toEqual(sumsOf(dist));
  });

  test("is all that there is to ship, and its sums name each file", () => {
    const architecture = { x64: "amd64", arm64: "arm64" }[process.arch as "x64" | "arm64"];
    const expected = [
      ...["linux-x64", "linux-arm64", "linux-x64-musl", "darwin-arm64"].map((target) => `crypto-edge-${target}`),
      `crypto-edge_${VERSION}_${architecture}.deb`,
      `crypto-edge-core_${VERSION}_${architecture}.deb`,
      `crypto-edge-${VERSION}.tgz`,
      `crypto-edge-chart-${VERSION}.tgz`,
      `crypto-edge-${VERSION}.cdx.json`,
      "crypto-edge-oci.tar",
      `NOTES-${VERSION}.md`,
      "crypto-edge",
    ];
    expect(readdirSync(dist).sort()).toEqual([...expected, "SHA256SUMS"].sort());
    const checked = run(["--check", "--strict", "SHA256SUMS"], { command: "sha256sum", cwd: dist });
    expect([checked.code, checked.stdout.trim().split("\n").length]).toEqual([0, expected.length]);
  });

  test("is told by its executable from anything else", () => {
    const verify = (sums: string) => run(["version", "--verify", sums], { command: join(dist, OWN), cwd: dist });
    expect(verify("SHA256SUMS")).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(new RegExp(`is (crypto-edge|${OWN}) of SHA256SUMS\n$`)),
    });
    const altered = readFileSync(join(dist, "SHA256SUMS"), "utf8").replace(/^\w{8}/gm, "00000000");
    writeFileSync(folder.file("altered"), altered);
    expect(verify(folder.file("altered"))).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("is none of those in"),
    });
  });

  test("has the notes of its version from CHANGELOG.md", () => {
    const notes = readFileSync(join(dist, `NOTES-${VERSION}.md`), "utf8").split("\n");
    const log = readFileSync(join(ROOT, "CHANGELOG.md"), "utf8");
    expect(notes[0]).toBe(`# crypto-edge ${VERSION}`);
    expect(notes.length).toBeGreaterThan(10);
    const part = log.slice(log.indexOf(`## ${VERSION}`));
    for (const line of notes.slice(1)) expect(part).toContain(line);
  });

  test("has a bill of materials that CycloneDX's own validator takes, with the runtime and each package of the program", async () => {
    const packages = npmFolder([
      ...["@cyclonedx/cyclonedx-library@10.3.0", "ajv@8.20.0", "ajv-formats@3.0.1", "ajv-formats-draft2019@1.6.1"],
    ]);
    const file = join(dist, `crypto-edge-${VERSION}.cdx.json`);
    const validate = (path: string): string =>
      runIn(
        [
          "node",
          "--input-type=module",
          "--eval",
          `import { Spec, Validation } from "@cyclonedx/cyclonedx-library";
import { readFileSync } from "node:fs";
const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot5);
console.log(JSON.stringify(await validator.validate(readFileSync(${JSON.stringify(path)}, "utf8"))));`,
        ],
        packages,
      ).trim();
    expect(validate(file)).toBe("null");
    const text = readFileSync(file, "utf8");
    writeFileSync(folder.file("wrong.json"), text.replace('"specVersion": "1.5"', '"specVersion": "1.5", "madeUp": 1'));
    expect(validate(folder.file("wrong.json"))).not.toBe("null");

    const { metadata, components } = JSON.parse(text) as {
      metadata: { component: { name: string; version: string } };
      components: { name: string; version: string }[];
    };
    expect(metadata.component).toMatchObject({ name: "crypto-edge", version: VERSION });
    const named = new Map(components.map(({ name, version }) => [name, version]));
    const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
      dependencies: Record<string, string>;
    };
    for (const [name, version] of Object.entries({ ...manifest.dependencies, bun: Bun.version }))
      expect([name, named.get(name)]).toEqual([name, version]);
    // What the image has of Debian.
    for (const name of ["libc6", "libssl3"]) expect([name, named.has(name)]).toEqual([name, true]);
    // A plugin's packages are not in the program.
    expect(named.has("pkcs11js")).toBe(false);
  });
});
