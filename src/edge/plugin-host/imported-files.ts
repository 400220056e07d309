/**
 * What a plugin's code imports from outside its own folder, found by reading it, before any of it runs: files named by a path, and packages
 * found in a `node_modules` above, with what those depend on. A name that is put together while the code runs can't be known; whoever
 * pins a plugin keeps all that it needs inside its folder.
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
/** Given by the program itself. */
const OWN_MODULE = /^(?:crypto-edge\/|bun$|bun:|node:|data:)/;
const PACKAGE_FIELDS = ["dependencies", "optionalDependencies", "peerDependencies"];

/** Everything outside `plugin` (a real path: a file, or a folder) that its code reaches, each once. */
export function importedFrom(plugin: string): ImportedPath[] {
  const found = new Map<string, ImportedPath>();
  const isOwn = (path: string): boolean => path === plugin || path.startsWith(plugin + sep);
  const queue = codeOf(plugin);
  const packages = new Set<string>();

  function take(path: string, importedBy: string, name: string): void {
    if (isOwn(path) || found.has(path)) return;
    found.set(path, { path, importedBy, name });
    if (isCode(path)) queue.push(path);
  }

  function takePackage(name: string, folder: string, importedBy: string): void {
    const root = packageFolder(name, folder);
    if (root === undefined || packages.has(root)) return;
    packages.add(root);
    if (!isOwn(root)) found.set(root, { path: root, importedBy, name });
    const manifest = readManifest(root);
    for (const field of PACKAGE_FIELDS) {
      for (const dependency of Object.keys((manifest[field] ?? {}) as object)) takePackage(dependency, root, root);
    }
  }

  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    for (const [, , name = ""] of readFileSync(file, "utf8").matchAll(SPECIFIER)) {
      if (OWN_MODULE.test(name) || isBuiltin(name)) continue;
      if (name.startsWith(".") || name.startsWith("/")) {
        const target = fileAt(resolve(dirname(file), name));
        if (target !== undefined) take(target, file, name);
      } else takePackage(packageName(name), dirname(file), file);
    }
  }
  return [...found.values()];
}

/** Code in the plugin's own folder; packages that it has brought along are taken as packages. */
function codeOf(path: string): string[] {
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
