/**
 * Whether a plugin's files can be trusted, judged before any of its code runs: who could have written them, and whether
 * they are the ones that the configuration pins. A plugin has the edge's own rights, so it deserves the edge's own care.
 */
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync, type Stats, statSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { PluginError } from "./plugin-error.ts";

const WRITABLE_BY_GROUP = 0o020;
const WRITABLE_BY_OTHERS = 0o002;
const STICKY = 0o1000;

export interface TrustedOwners {
  /** The user that the edge runs as; undefined where the system has no user ids. */
  readonly user: number | undefined;
  /** A user id that the configuration trusts besides root and the edge's own. */
  readonly alsoTrusted?: number;
}

/**
 * Refuses a plugin that someone else could have changed: every file and folder of it, and every folder above it, must
 * belong to root, to the edge's user or to the configured owner, and must not be writable by group or others (a sticky
 * folder such as /tmp may be, above the plugin).
 *
 * @throws {PluginError} `not_trusted`, `not_found`.
 */
export function checkTrust(path: string, owners: TrustedOwners): void {
  if (owners.user === undefined) return;
  const real = realPath(path);
  for (let folder = dirname(real); ; folder = dirname(folder)) {
    const stats = statSync(folder);
    checkOwner(path, folder, stats, owners);
    if ((stats.mode & STICKY) === 0) checkMode(path, folder, stats);
    if (folder === dirname(folder)) break;
  }
  for (const file of filesOf(real, { folders: true })) {
    const stats = file.stats.isSymbolicLink() ? linkTarget(path, file.path) : file.stats;
    checkKind(path, file.path, stats);
    checkOwner(path, file.path, stats, owners);
    checkMode(path, file.path, stats);
  }
}

/**
 * The SHA-256 that pins a plugin, in hex: over each regular file's path (relative, with `/`) and content hash, and each
 * link's path and target, sorted by path. `node_modules` counts: it is code of the plugin's.
 *
 * @throws {PluginError} `not_found`; `not_trusted` for a link that leads out of the folder, which no hash would cover.
 */
export function hashPlugin(path: string): string {
  const real = realPath(path);
  const total = createHash("sha256");
  for (const file of filesOf(real, { folders: false })) {
    const name = relative(real, file.path).split(sep).join("/");
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
