/**
 * What a plugin's code imports from outside its own folder, found by reading it, before any of it runs: files named by a path, and packages
 * found in a `node_modules` above or elsewhere, with what those import and depend on. A name that is put together while the code runs can't be
 * known; whoever pins a plugin keeps all that it needs inside its folder.
 */
import { readdirSync, readFileSync, realpathSync, type Stats, statSync } from "node:fs";
import { isBuiltin } from "node:module";
import { dirname, extname, join, resolve, sep } from "node:path";

/** A file, or a package's whole folder. */
export interface ImportedPath {
  readonly path: string;
  /** For messages: the file that imports it, and by what name. */
  readonly importedBy: string;
  readonly name: string;
}

const CODE = new Set([".ts", ".mts", ".cts", ".tsx", ".js", ".mjs", ".cjs", ".jsx"]);

/** Whether the runtime would run a file of this name. */
export function isCode(path: string): boolean {
  return CODE.has(extname(path));
}

const SPECIFIER = /(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)(["'`])([^"'`\n]+)\1/g;
/** A path as a text, however the code comes to load it: `import.meta.require`, a worker, a name that is chosen between two. */
const PATH_TEXT = /(["'`])((?:\.{1,2}\/|\/|file:)[^"'`\n$\\]+)\1/g;
/** What a process runs when it loads it. */
const LOADABLE = /\.(?:[mc]?[jt]sx?|node|so|wasm)$/;
/** Given by the program itself. */
const OWN_MODULE = /^(?:crypto-edge\/|bun$|bun:|node:|data:)/;
const COMPILER_SETTINGS = ["tsconfig.json", "jsconfig.json"];
const PACKAGE_FIELDS = ["dependencies", "optionalDependencies", "peerDependencies"];

/** Everything outside `plugin` (a real path: a file, or a folder) that its code reaches, each once. */
export function importedFrom(plugin: string): ImportedPath[] {
  const found = new Map<string, ImportedPath>();
  const isOwn = (path: string): boolean => path === plugin || path.startsWith(plugin + sep);
  const queue = codeOf(plugin);
  const read = new Set(queue);
  const packages = new Set<string>();

  function take(path: string, importedBy: string, name: string): void {
    if (isCode(path) && !read.has(path)) {
      read.add(path);
      queue.push(path);
    }
    if (isOwn(path)) return;
    const root = packageRoot(path);
    if (root !== undefined) takeWhole(root, importedBy, name);
    else if (!found.has(path)) found.set(path, { path, importedBy, name });
  }

  /** Its other files too: a package may read any of them by a name that is put together. */
  function takeWhole(root: string, importedBy: string, name: string): void {
    if (packages.has(root)) return;
    packages.add(root);
    if (!isOwn(root)) found.set(root, { path: root, importedBy, name });
    const manifest = readManifest(root);
    for (const field of PACKAGE_FIELDS) {
      for (const dependency of Object.keys((manifest[field] ?? {}) as object)) {
        const folder = packageFolder(dependency, root);
        if (folder !== undefined) takeWhole(folder, root, dependency);
      }
    }
  }

  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    const code = readFileSync(file, "utf8");
    for (const [, , name = ""] of code.matchAll(PATH_TEXT)) {
      const target = resolveImport(name, file);
      if (target !== undefined && LOADABLE.test(target)) take(target, file, name);
    }
    for (const name of specifiersOf(file, code)) {
      if (OWN_MODULE.test(name) || isBuiltin(name)) {
        // Compiler settings can put another module in the place of the program's own.
        const instead = name.startsWith("crypto-edge/") ? resolveImport(name, file) : undefined;
        if (instead !== undefined && !isProgramsOwn(instead)) take(instead, file, name);
        continue;
      }
      const target = resolveImport(name, file);
      if (target !== undefined) take(target, file, name);
      if (!/^[./#]|^file:/.test(name)) {
        const folder = packageFolder(packageName(name), dirname(file));
        if (folder !== undefined) takeWhole(folder, file, name);
      }
    }
  }
  return [...found.values()];
}

/** What is used here of Bun: its parser and its resolver are those that will run the code. */
interface BunModules {
  readonly Transpiler: new (options: {
    loader: string;
  }) => {
    scanImports(code: string): readonly { readonly path: string }[];
  };
  resolveSync(specifier: string, folder: string): string;
}

const bun = (globalThis as { Bun?: BunModules }).Bun;

/** Workers, and imports of a path beside the file. */
const BESIDE = /\bnew\s+URL\(\s*(["'`])([^"'`\n]+)\1\s*,\s*import\.meta\.url\s*\)/g;

function specifiersOf(file: string, code: string): string[] {
  const names = [...code.matchAll(BESIDE)].map(([, , name = ""]) => (/^[a-z]+:/i.test(name) ? name : `./${name}`));
  try {
    if (bun !== undefined) {
      return [...names, ...new bun.Transpiler({ loader: languageOf(file) }).scanImports(code).map(({ path }) => path)];
    }
  } catch {
    // What can't be parsed does not run either; it is read as well as may be.
  }
  return [...names, ...[...code.matchAll(SPECIFIER)].map(([, , name = ""]) => name)];
}

/** As Bun calls it. */
export function languageOf(file: string): "ts" | "tsx" | "jsx" {
  if (!/\.(?:tsx?|[mc]ts)$/.test(file)) return "jsx";
  return file.endsWith("x") ? "tsx" : "ts";
}

/** A copy of the program's own package beside the plugin is not what it gets. */
function isProgramsOwn(path: string): boolean {
  return path.split(sep).includes("node_modules") || path.startsWith(resolve(import.meta.dirname, "../..") + sep);
}

/** Settings of the compiler above a file, which the runtime obeys: they say where imports lead. */
export function compilerSettingsAbove(path: string): string[] {
  const found: string[] = [];
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    found.push(...COMPILER_SETTINGS.map((name) => join(folder, name)).filter((file) => statOf(file) !== undefined));
    if (folder === dirname(folder)) return found;
  }
}

/** The file that the runtime would take, a real path: by NODE_PATH, a package.json's `imports`, and another ending too. */
function resolveImport(name: string, file: string): string | undefined {
  const plain = name.startsWith("file:") ? pathOf(name) : name.replace(/\?.*$/, "");
  if (plain === undefined) return undefined;
  const isPath = plain.startsWith(".") || plain.startsWith("/");
  try {
    const resolved = bun?.resolveSync(plain, dirname(file));
    if (resolved?.startsWith("/") === true) return realpathSync(resolved);
  } catch {
    // Not there: the import will say so.
  }
  return isPath ? fileAt(resolve(dirname(file), plain)) : undefined;
}

function pathOf(url: string): string | undefined {
  try {
    return process.getBuiltinModule("node:url").fileURLToPath(url);
  } catch {
    return undefined;
  }
}

/** The folder of the package that a file in a `node_modules` belongs to. */
function packageRoot(path: string): string | undefined {
  const parts = path.split(sep);
  const at = parts.lastIndexOf("node_modules");
  if (at < 0 || at + 1 >= parts.length) return undefined;
  const root = parts.slice(0, at + (parts[at + 1]!.startsWith("@") ? 3 : 2)).join(sep);
  return statOf(root)?.isDirectory() === true ? root : undefined;
}

/** Code in the plugin's own folder; packages that it has brought along are taken as packages. */
export function codeOf(path: string): string[] {
  const stats = statSync(path);
  if (!stats.isDirectory()) return [path];
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
    const inner = join(path, entry.name);
    if (entry.isDirectory()) return entry.name === "node_modules" ? [] : codeOf(inner);
    return entry.isFile() && isCode(entry.name) ? [inner] : [];
  });
}

/** As the runtime finds it: the path itself, with an ending, or as a folder's index. */
function fileAt(path: string): string | undefined {
  const endings = ["", ...CODE, ".json"];
  for (const candidate of [
    ...endings.map((ending) => path + ending),
    ...endings.map((ending) => join(path, `index${ending}`)),
  ]) {
    if (statOf(candidate)?.isFile()) return realpathSync(candidate);
  }
  return undefined;
}

function packageName(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

function packageFolder(name: string, from: string): string | undefined {
  for (let folder = from; ; folder = dirname(folder)) {
    const candidate = join(folder, "node_modules", name);
    if (statOf(candidate)?.isDirectory()) return realpathSync(candidate);
    if (folder === dirname(folder)) return undefined;
  }
}

function readManifest(folder: string): Record<string, unknown> {
  try {
    return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Record<string, unknown>;
  } catch {
    return {};
  }
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}
