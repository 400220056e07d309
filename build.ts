/**
 * Compiles the single executable: `bun build.ts` for this machine, into dist/crypto-edge; `bun build.ts --all` for every
 * target, each with its SHA-256 sum, `--target linux-arm64` for that one; `bun build.ts --deb` for a Debian package of this
 * machine's. `bun build.ts --package` makes the npm package instead; with `--accept-api` what it shows becomes what is agreed
 * (packaging/npm-api.txt).
 */
import "reflect-metadata";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { buildCoreDeb, buildDeb } from "./packaging/deb.ts";
import { coreManPage, manPage } from "./packaging/man-page.ts";
import { VERSION } from "./src/base/version.ts";
import { completions } from "./src/cli/completion.ts";
import { print } from "./src/cli/print.ts";
import { createProgram } from "./src/cli/program.ts";

const ALL_TARGETS = ["bun-linux-x64", "bun-linux-arm64", "bun-linux-x64-musl", "bun-darwin-arm64"] as const;
const OWN_TARGET = `bun-${process.platform}-${process.arch}`;
const OUTPUT = "dist";

const arguments_ = process.argv.slice(2);
const commit = readCommit();
mkdirSync(OUTPUT, { recursive: true });

if (arguments_.includes("--package")) {
  const { buildNpmPackage } = await import("./packaging/npm.ts");
  const { tarball, api } = await buildNpmPackage(import.meta.dirname, OUTPUT);
  if (arguments_.includes("--accept-api")) writeFileSync("packaging/npm-api.txt", api);
  else if (readFileSync("packaging/npm-api.txt", "utf8") !== api) {
    console.error(
      "The package shows something else than packaging/npm-api.txt: if it shall, build with --package --accept-api.",
    );
    process.exitCode = 1;
  }
  print(tarball);
} else if (arguments_.includes("--all")) {
  for (const target of ALL_TARGETS) await compile(target, join(OUTPUT, target.replace("bun-", "crypto-edge-")));
} else if (arguments_.includes("--target")) {
  const name = arguments_[arguments_.indexOf("--target") + 1];
  const target = ALL_TARGETS.find((known) => known === `bun-${name}`);
  if (target === undefined) {
    console.error(`There is no target ${name}: ${ALL_TARGETS.map((known) => known.replace("bun-", "")).join(", ")}.`);
    process.exit(2);
  }
  await compile(target, join(OUTPUT, target.replace("bun-", "crypto-edge-")));
} else {
  await compile(OWN_TARGET, join(OUTPUT, "crypto-edge"));
}

if (arguments_.includes("--deb")) {
  const epochSeconds = readCommitTime();
  const date = new Date(epochSeconds * 1000).toISOString().slice(0, 10);
  const options = {
    binary: join(OUTPUT, "crypto-edge"),
    version: VERSION,
    architecture: process.arch === "x64" ? "amd64" : process.arch,
    output: OUTPUT,
    manPage: manPage(createProgram(), VERSION, date),
    epochSeconds,
  };
  const program = createProgram();
  print(buildCoreDeb({ ...options, manPage: coreManPage(program, VERSION, date) }));
  print(
    buildDeb({
      ...options,
      completions: {
        bash: completions(program, "bash"),
        zsh: completions(program, "zsh"),
        fish: completions(program, "fish"),
      },
    }),
  );
}

async function compile(target: string, outfile: string): Promise<void> {
  const result = await Bun.build({
    entrypoints: ["src/main.ts"],
    compile: {
      target: target as Bun.Build.CompileTarget,
      outfile,
      autoloadDotenv: false,
      autoloadBunfig: false,
      // Without it a plugin's dependencies are found by index.js alone, whatever their package.json says.
      autoloadPackageJson: true,
    },
    minify: { whitespace: true, syntax: true, identifiers: false },
    // Each command's code is read when it is called, and needs no parsing: a fifth of the time to start. Bytecode is made
    // for the Bun that runs here, so only its own target gets it.
    splitting: true,
    format: "esm",
    bytecode: target === OWN_TARGET,
    define: {
      BUILD_COMMIT: JSON.stringify(commit),
      BUILD_TARGET: JSON.stringify(target.replace("bun-", "")),
      // CommonJS packages would get the builder's own folder: it names who built, and no two places would build the same bytes.
      __dirname: JSON.stringify("/nowhere"),
      __filename: JSON.stringify("/nowhere/file.js"),
    },
    throw: false,
  });
  if (!result.success) {
    for (const message of result.logs) console.error(String(message));
    process.exit(1);
  }
  const sum = createHash("sha256").update(readFileSync(outfile)).digest("hex");
  writeFileSync(`${outfile}.sha256`, `${sum}  ${basename(outfile)}\n`);
  print(`${outfile}  ${sum}`);
}

/** When this source was committed; without a history, now. */
function readCommitTime(): number {
  const { stdout, exitCode } = Bun.spawnSync(["git", "show", "-s", "--format=%ct", "HEAD"], { stderr: "ignore" });
  return exitCode === 0 ? Number(stdout.toString().trim()) : Math.floor(Date.now() / 1000);
}

function readCommit(): string {
  const { stdout, exitCode } = Bun.spawnSync(["git", "rev-parse", "--short=12", "HEAD"], { stderr: "ignore" });
  return exitCode === 0 ? stdout.toString().trim() : "unknown";
}
