/**
 * One command from a clean checkout to all of dist/: `npm run release`. Executables for each target, Debian packages, the container image, the chart,
 * the npm package, a bill of materials, the release's notes, and the sums of all of it. The same commit makes the same files.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { VERSION } from "../src/base/version.ts";
import { print, write } from "../src/cli/print.ts";
import { systemLibraries } from "./oci-image.ts";

const ROOT = resolve(import.meta.dir, "..");
const DIST = join(ROOT, "dist");

function run(program: string, args: readonly string[], cwd = ROOT): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([program, ...args], { cwd, env: { ...process.env, LC_ALL: "C" } });
  if (exitCode !== 0) throw new Error(`${program} ${args.join(" ")} failed:\n${stdout}${stderr}`);
  return stdout.toString();
}

const changed = run("git", ["status", "--porcelain"]).trim();
if (changed !== "" && !process.argv.includes("--dirty")) {
  console.error(`These files are not committed, and a release is made of a commit:\n${changed}`);
  process.exit(1);
}
const epochSeconds = Number(run("git", ["show", "-s", "--format=%ct", "HEAD"]).trim());
rmSync(DIST, { recursive: true, force: true });
mkdirSync(DIST);

const step = (name: string): void => print(`── ${name}`);
step("executables");
run(process.execPath, ["build.ts", "--all"]);
step("Debian packages");
run(process.execPath, ["build.ts", "--deb"]);
step("npm package");
run(process.execPath, ["build.ts", "--package"]);
step("container image");
run(process.execPath, ["scripts/oci-image.ts"]);
step("chart");
writeFileSync(join(DIST, `crypto-edge-chart-${VERSION}.tgz`), gzipSync(tarOf("deploy/helm", "crypto-edge")));
step("bill of materials");
writeFileSync(join(DIST, `crypto-edge-${VERSION}.cdx.json`), billOfMaterials());
step("notes");
writeFileSync(join(DIST, `NOTES-${VERSION}.md`), notes());
step("sums");
// What the package was packed from.
rmSync(join(DIST, "npm"), { recursive: true });
for (const name of readdirSync(DIST)) if (name.endsWith(".sha256")) rmSync(join(DIST, name));
const files = readdirSync(DIST).filter((name) => statSync(join(DIST, name)).isFile());
const sums = files.sort().map(
  (name) =>
    `${createHash("sha256")
      .update(readFileSync(join(DIST, name)))
      .digest("hex")}  ${name}\n`,
);
writeFileSync(join(DIST, "SHA256SUMS"), sums.join(""));
write(sums.join(""));

function tarOf(folder: string, name: string): Buffer {
  const output = join(DIST, `.${name}.tar`);
  run("tar", [
    ...[
      "--create",
      "--file",
      output,
      "--directory",
      folder,
      "--format=ustar",
      "--sort=name",
      `--mtime=@${epochSeconds}`,
    ],
    ...["--owner=0", "--group=0", "--numeric-owner", "--mode=u+rw,go-w,a+rX", name],
  ]);
  const bytes = readFileSync(output);
  rmSync(output);
  return bytes;
}

/**
 * What is in the executables, the runtime and packages by the lock file (a plugin's are its operator's to install), and which of this system's
 * packages are in the container image. CycloneDX, without what npm
 * puts in of the builder: a random number, the time, its own version, the folder's name.
 */
function billOfMaterials(): string {
  const bill = JSON.parse(
    run("npm", [
      "sbom",
      "--sbom-format=cyclonedx",
      "--omit=dev",
      "--package-lock-only",
      "--workspaces=false",
      "--loglevel=error",
    ]),
  ) as Bill;
  const { component } = bill.metadata;
  const runtime = {
    "bom-ref": `bun@${Bun.version}`,
    type: "platform",
    name: "bun",
    version: Bun.version,
    scope: "required",
    purl: `pkg:npm/bun@${Bun.version}`,
    licenses: [{ license: { id: "MIT" } }],
  };
  const added = [runtime, ...packagesOfImage()];
  const references = added.map((one) => one["bom-ref"]);
  const { serialNumber: _, ...kept } = bill;
  return `${JSON.stringify(
    {
      ...kept,
      metadata: {
        ...bill.metadata,
        timestamp: new Date(epochSeconds * 1000).toISOString(),
        tools: [{ vendor: "npm", name: "cli" }],
        component: { ...component, name: "crypto-edge", type: "application" },
      },
      components: [...added, ...bill.components],
      dependencies: [
        ...bill.dependencies.map((one) =>
          one.ref === component["bom-ref"] ? { ...one, dependsOn: [...references, ...(one.dependsOn ?? [])] } : one,
        ),
        ...references.map((ref) => ({ ref, dependsOn: [] })),
      ],
    },
    null,
    2,
  )}\n`;
}

/** Debian's, whose libraries the image's first layer is made of. */
function packagesOfImage() {
  const paths = [...systemLibraries(join(DIST, "crypto-edge"))].map((path) => realpathSync(path));
  // A package may have been made before /lib became a part of /usr.
  const packaged = paths.map((path) => (ownerOf(path) ?? ownerOf(path.replace(/^\/usr/, "")))!);
  return [...new Set(packaged)].sort().map((name) => {
    // `libc6:amd64` and its version.
    const [, plain, architecture, version] = /^([^:]+)(?::(\S+))?\t(.+)$/.exec(
      run("dpkg-query", ["--show", name]).trim(),
    )!;
    return {
      "bom-ref": `debian/${plain}@${version}`,
      type: "library",
      name: plain,
      version,
      scope: "optional",
      purl: `pkg:deb/debian/${plain}@${encodeURIComponent(version!)}${architecture === undefined ? "" : `?arch=${architecture}`}`,
      properties: [{ name: "crypto-edge:in", value: "container image" }],
    };
  });
}

/** The package that a file is of. */
function ownerOf(path: string): string | undefined {
  const { exitCode, stdout } = Bun.spawnSync(["dpkg-query", "--search", path], { stderr: "ignore" });
  return exitCode === 0 ? /^(\S+): /.exec(stdout.toString())?.[1] : undefined;
}

interface Bill {
  readonly serialNumber?: string;
  readonly metadata: { readonly component: { readonly "bom-ref": string } };
  readonly components: readonly object[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn?: readonly string[] }[];
}

/** This version's part of CHANGELOG.md. */
function notes(): string {
  const log = readFileSync(join(ROOT, "CHANGELOG.md"), "utf8");
  const part = new RegExp(
    `^## ${VERSION.replaceAll(".", "\\.")}[^\\n]*\\n([\\s\\S]*?)(?=^## |$(?![\\s\\S]))`,
    "m",
  ).exec(log)?.[1];
  if (part === undefined) throw new Error(`CHANGELOG.md has no part "## ${VERSION}"`);
  return `# crypto-edge ${VERSION}\n\n${part.trim()}\n`;
}
