/**
 * The npm package: ES modules by esbuild, declarations by the TypeScript compiler, both with source maps, and `npm pack`.
 *
 * It has no dependencies: what of TypeBox the plugin interface shows is copied in, code and declarations.
 */
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, normalize, relative, resolve } from "node:path";
import { build, type Plugin } from "esbuild";
import { apiReport } from "./api-report.ts";

/** Entry points by what is imported: `crypto-edge/records` and so on. */
export const ENTRY_POINTS: Readonly<Record<string, string>> = {
  client: "sdk/client/index",
  records: "sdk/records/index",
  files: "sdk/files/index",
  plugin: "sdk/plugin/index",
  "plugin/conformance": "sdk/conformance/index",
};

export interface NpmPackage {
  /** The folder that was packed. */
  readonly folder: string;
  readonly tarball: string;
  /** What an importer sees of it, as text. */
  readonly api: string;
}

const TYPEBOX = "@sinclair/typebox";
const TYPES = "types";
const VENDORED_TYPEBOX = `${TYPES}/vendor/typebox`;
/** Node 20.16 is the first of its line with `process.getBuiltinModule`. */
const ENGINES = { node: ">=20.16" };

/** Builds into `output/npm` and packs it into `output`. */
export async function buildNpmPackage(root: string, output: string): Promise<NpmPackage> {
  const folder = resolve(output, "npm");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await bundle(root, folder);
  declarations(root, folder);
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<string, unknown>;
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(packageManifest(manifest), null, 2)}\n`);
  cpSync(join(root, "packaging/npm-readme.md"), join(folder, "README.md"));
  cpSync(join(root, "LICENSE"), join(folder, "LICENSE"));
  // As the builder's umask has it, it would be nobody else's to read where it is installed for all.
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    chmodSync(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o755 : 0o644);
  }
  run(["npm", "pack", "--pack-destination", resolve(output), "--loglevel=error"], folder);
  return {
    folder,
    tarball: resolve(output, `${manifest.name}-${manifest.version}.tgz`),
    api: apiReport(join(folder, TYPES), ENTRY_POINTS),
  };
}

async function bundle(root: string, folder: string): Promise<void> {
  await build({
    absWorkingDir: root,
    entryPoints: Object.entries(ENTRY_POINTS).map(([out, from]) => ({ in: `src/${from}.ts`, out })),
    outdir: folder,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    // The adapters of Bun are loaded under Bun alone.
    external: ["bun:*"],
    target: "es2022",
    chunkNames: "chunks/[name]-[hash]",
    sourcemap: true,
    legalComments: "inline",
    plugins: [withoutFrontDoors],
    logLevel: "warning",
  });
}

/** The conformance kit reads an edge's configuration, but serves nothing: the doors stay out. */
const withoutFrontDoors: Plugin = {
  name: "without front doors",
  setup(building) {
    building.onLoad({ filter: /src\/edge\/doors\/[^/]+\/door\.ts$/ }, () => ({
      contents: 'throw new Error("The conformance kit serves no front doors: leave them out of its configuration.");',
    }));
  },
};

/** Emits the declarations, keeps those that an entry point reaches, and puts TypeBox's beside them. */
function declarations(root: string, folder: string): void {
  const all = join(folder, "all-types");
  const configuration = join(folder, "tsconfig.json");
  writeFileSync(
    configuration,
    JSON.stringify({
      extends: join(root, "tsconfig.json"),
      compilerOptions: {
        noEmit: false,
        declaration: true,
        declarationMap: true,
        emitDeclarationOnly: true,
        rootDir: root,
        outDir: all,
        paths: {},
        types: [join(root, "node_modules/bun-types")],
      },
      include: [],
      exclude: [],
      files: Object.values(ENTRY_POINTS).map((entry) => join(root, `src/${entry}.ts`)),
    }),
  );
  run(["npx", "tsc", "-p", configuration], root);
  rmSync(configuration);

  const source = join(all, "src");
  const reached = new Set(Object.values(ENTRY_POINTS).map((entry) => `${entry}.d.ts`));
  for (const file of reached) {
    const text = readFileSync(join(source, file), "utf8");
    const depth = relative(dirname(join(TYPES, file)), VENDORED_TYPEBOX);
    const rewritten = text.replace(/(from |import\()"([^"]+)"/g, (_, before: string, to: string) => {
      if (to === TYPEBOX) return `${before}"${depth}/index.mjs"`;
      if (!to.startsWith(".")) return `${before}"${to}"`;
      if (to.endsWith(".ts")) reached.add(normalize(join(dirname(file), to.replace(/\.ts$/, ".d.ts"))));
      return `${before}"${to.replace(/\.ts$/, ".js")}"`;
    });
    const target = join(folder, TYPES, file);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, rewritten);
    // Jumping to a definition leads to the source, which is in the map itself.
    const map = JSON.parse(readFileSync(join(source, `${file}.map`), "utf8")) as {
      sources: string[];
      sourcesContent?: string[];
    };
    const original = file.replace(/\.d\.ts$/, ".ts");
    map.sources = [`../${"../".repeat(file.split("/").length - 1)}src/${original}`];
    map.sourcesContent = [readFileSync(join(root, "src", original), "utf8")];
    writeFileSync(`${target}.map`, JSON.stringify(map));
  }
  rmSync(all, { recursive: true });
  vendorTypebox(root, folder);
}

function vendorTypebox(root: string, folder: string): void {
  const from = join(root, "node_modules", TYPEBOX);
  const target = join(folder, VENDORED_TYPEBOX);
  const files = (readdirSync(join(from, "build/esm"), { recursive: true }) as string[]).filter((file) =>
    /^(index\.d\.mts|type\/.*\.d\.mts)$/.test(file),
  );
  for (const file of files) {
    mkdirSync(dirname(join(target, file)), { recursive: true });
    cpSync(join(from, "build/esm", file), join(target, file));
  }
  const license = ["license", "LICENSE"].map((name) => join(from, name)).find((path) => existsSync(path));
  if (license === undefined) throw new Error(`${TYPEBOX} has no license file to copy beside its declarations`);
  cpSync(license, join(target, "LICENSE"));
}

function packageManifest(own: Record<string, unknown>): object {
  const exports = Object.fromEntries(
    Object.entries(ENTRY_POINTS).map(([name, entry]) => [
      `./${name}`,
      { types: `./${TYPES}/${entry}.d.ts`, default: `./${name}.js` },
    ]),
  );
  return {
    name: own.name,
    version: own.version,
    description:
      "Data keys beside your application: the client, encrypted records, sealed files, and the plugin interface of crypto-edge.",
    license: own.license,
    type: "module",
    sideEffects: false,
    engines: ENGINES,
    exports: { ...exports, "./package.json": "./package.json" },
    // For compilers whose `moduleResolution` knows no "exports".
    typesVersions: {
      "*": Object.fromEntries(
        Object.entries(ENTRY_POINTS).map(([name, entry]) => [name, [`./${TYPES}/${entry}.d.ts`]]),
      ),
    },
  };
}

function run(command: readonly string[], directory: string): void {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { cwd: directory, stdout: "pipe", stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${command.join(" ")} failed:\n${stdout}${stderr}`);
}
