/**
 * Whether a plugin's files can be trusted, judged before any of its code runs: who could have written them, and whether
 * they are the ones that the configuration pins. A plugin has the edge's own rights, so it deserves the edge's own care.
 */

import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  type Stats,
  statSync,
} from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { nodeCrypto } from "../../base/system/builtin-modules.ts";
import { compilerSettingsAbove, importedFrom, isCode } from "./imported-files.ts";
import { PluginError } from "./plugin-error.ts";

const WRITABLE_BY_GROUP = 0o020;
const WRITABLE_BY_OTHERS = 0o002;
const STICKY = 0o1000;
const DATA_FOLDER = /^(?!node_modules(?:\/|$))[A-Za-z0-9_-][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/;

export interface TrustedOwners {
  /** The user that the edge runs as; undefined where the system has no user ids. */
  readonly user: number | undefined;
  /** A user id that the configuration trusts besides root and the edge's own. */
  readonly alsoTrusted?: number;
}

/**
 * Refuses a plugin that someone else could have changed: every file and folder of it, whatever its code imports from elsewhere, what its
 * links point to, the compiler's settings above it, and every folder above any of these must belong to root, to the edge's user or to the configured owner, and must not be
 * writable by group or others (a sticky folder such as /tmp may be, above them).
 *
 * @throws {PluginError} `not_trusted`, `not_found`.
 */
export function checkTrust(path: string, owners: TrustedOwners): void {
  if (owners.user === undefined) return;
  const real = realPath(path);
  const checked = new Set<string>();
  const checkAll = (root: string): void => {
    checkFoldersAbove(path, root, owners, checked);
    for (const file of filesOf(root, { folders: true })) {
      let { stats } = file;
      if (stats.isSymbolicLink()) {
        stats = linkTarget(path, file.path);
        checkFoldersAbove(path, realPath(file.path), owners, checked);
      }
      checkKind(path, file.path, stats);
      checkOwner(path, file.path, stats, owners);
      checkMode(path, file.path, stats);
    }
  };
  checkAll(real);
  for (const settings of compilerSettingsAbove(real)) checkAll(realPath(settings));
  for (const imported of importedFrom(real)) checkAll(imported.path);
}

function checkFoldersAbove(plugin: string, path: string, owners: TrustedOwners, checked: Set<string>): void {
  for (let folder = dirname(path); !checked.has(folder); folder = dirname(folder)) {
    checked.add(folder);
    const stats = statSync(folder);
    checkOwner(plugin, folder, stats, owners);
    if ((stats.mode & STICKY) === 0) checkMode(plugin, folder, stats);
  }
}

/**
 * The SHA-256 that pins a plugin, in hex: over each regular file's path (relative, with `/`) and content hash, and each
 * link's path and target, sorted by path. `node_modules` counts: it is code of the plugin's. Folders that its package.json names as data
 * (`"crypto-edge": { "data": ["keys"] }`) do not: a key that is added there changes no code. The package.json itself is pinned.
 *
 * @throws {PluginError} `not_found`; `not_trusted` for a link or an import that leads out of what the hash covers.
 */
export function hashPlugin(path: string): string {
  const real = realPath(path);
  const { createHash } = nodeCrypto();
  const total = createHash("sha256");
  const data = dataFolders(path, real);
  for (const { path: file, importedBy } of importedFrom(real)) {
    throw new PluginError(
      "not_trusted",
      path,
      `${importedBy} imports ${file}, outside the plugin, where a pin does not reach. Install or copy it into the plugin's folder.`,
    );
  }
  for (const file of filesOf(real, { folders: false })) {
    const name = relative(real, file.path).split(sep).join("/");
    if (data.some((folder) => name.startsWith(`${folder}/`))) {
      if (isCode(name)) {
        throw new PluginError(
          "not_trusted",
          path,
          `${file.path} is code in a folder of data, where a pin does not reach. Move it out of there.`,
        );
      }
      continue;
    }
    if (file.stats.isSymbolicLink()) {
      if (!realPath(file.path).startsWith(real + sep)) {
        throw new PluginError(
          "not_trusted",
          path,
          `${file.path} links to ${realPath(file.path)}, outside the plugin, where a pin does not reach. Copy what it names into the plugin's folder.`,
        );
      }
      total.update(`${name}\0link\0${readlinkSync(file.path)}\n`);
    } else {
      checkKind(path, file.path, file.stats);
      total.update(`${name}\0file\0${createHash("sha256").update(readFileSync(file.path)).digest("hex")}\n`);
    }
  }
  return total.digest("hex");
}

/** Folders of data, as package.json names them: relative, with `/`. */
function dataFolders(plugin: string, real: string): string[] {
  const manifest = join(real, "package.json");
  if (!lstatSync(real).isDirectory() || !existsSync(manifest)) return [];
  let data: unknown;
  try {
    data = (JSON.parse(readFileSync(manifest, "utf8")) as { "crypto-edge"?: { data?: unknown } })["crypto-edge"]?.data;
  } catch (cause) {
    throw new PluginError("not_loadable", plugin, "its package.json is not JSON. Correct it.", { cause });
  }
  if (data === undefined) return [];
  if (Array.isArray(data) && data.every((name) => typeof name === "string" && DATA_FOLDER.test(name))) return data;
  throw new PluginError(
    "not_loadable",
    plugin,
    '"crypto-edge": { "data": … } in its package.json is not a list of names of folders in the plugin. Correct it.',
  );
}

interface PluginFile {
  readonly path: string;
  readonly stats: Stats;
}

/** The file itself, or everything under the folder, in the order of the paths' bytes. */
function* filesOf(path: string, options: { folders: boolean }): Generator<PluginFile> {
  const stats = lstatSync(path);
  if (!stats.isDirectory()) return yield { path, stats };
  if (options.folders) yield { path, stats };
  const names = readdirSync(path).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  for (const name of names) yield* filesOf(join(path, name), options);
}

/** Reading a FIFO or a device would hang, or never end. */
function checkKind(plugin: string, path: string, stats: Stats): void {
  if (stats.isFile() || stats.isDirectory()) return;
  throw new PluginError("not_trusted", plugin, `${path} is neither a file nor a folder. Remove it.`);
}

function checkOwner(plugin: string, path: string, stats: Stats, owners: TrustedOwners): void {
  if (stats.uid === 0 || stats.uid === owners.user || stats.uid === owners.alsoTrusted) return;
  throw new PluginError(
    "not_trusted",
    plugin,
    `${path} belongs to user ${stats.uid}, who could change the plugin. Give it to root or to the edge's user (${owners.user}) with "chown -R", or say "owner: ${stats.uid}" in the plugin's entry.`,
  );
}

function checkMode(plugin: string, path: string, stats: Stats): void {
  const writers = [
    (stats.mode & WRITABLE_BY_GROUP) !== 0 ? "its group" : undefined,
    (stats.mode & WRITABLE_BY_OTHERS) !== 0 ? "others" : undefined,
  ].filter((writer) => writer !== undefined);
  if (writers.length === 0) return;
  throw new PluginError(
    "not_trusted",
    plugin,
    `${path} is writable by ${writers.join(" and ")}, who could change the plugin. Take that away with "chmod -R go-w ${path}".`,
  );
}

function linkTarget(plugin: string, path: string): Stats {
  try {
    return statSync(path);
  } catch {
    throw new PluginError("not_trusted", plugin, `${path} is a link to nothing. Remove it.`);
  }
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch (cause) {
    throw new PluginError("not_found", path, "there is no such file or folder. Correct the path in `plugins`.", {
      cause,
    });
  }
}
