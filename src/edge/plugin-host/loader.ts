/**
 * Loads the plugins that a configuration names: checks that their files can be trusted, imports them, and collects what they
 * contribute. Runs before the configuration is checked, since the contributions bring their own sections' schemas.
 */
import { readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { messageOf } from "../../base/errors.ts";
import {
  type AuditSinkContribution,
  type CipherContribution,
  type CoreTargetContribution,
  type DoorContribution,
  type EventPublisherContribution,
  type HooksContribution,
  type KeySourceContribution,
  PLUGIN_API_VERSION,
  type Plugin,
  type PluginLog,
  type RevocationTransportContribution,
} from "./plugin.ts";
import { PluginError } from "./plugin-error.ts";
import { checkTrust, hashPlugin } from "./trust.ts";
import { ALLOWANCES, type Allowance, unseenCodeOf } from "./unseen-code.ts";

/** One entry of the configuration's `plugins`: a path, or a path with what is known of it. */
export type PluginEntry =
  | string
  | {
      /** A folder, or a TypeScript or JavaScript file; relative to the configuration's folder. */
      readonly path: string;
      /** The hash that `crypto-edge plugin check` prints: other files do not run. */
      readonly sha256?: string | undefined;
      /** A user id that may own the files, besides root and the edge's own. */
      readonly owner?: number | undefined;
      /** What no pin covers, and may be in its code all the same. */
      readonly allow?: readonly Allowance[] | undefined;
    };

export interface LoadedPlugin {
  /** The folder or file, absolute. */
  readonly path: string;
  readonly plugin: Plugin;
}

/** A contribution, and the plugin that brings it. */
export interface Contributed<Contribution> {
  readonly from: LoadedPlugin;
  readonly contribution: Contribution;
}

/** Everything that the plugins bring, each by the name that the configuration's `use` gives. */
export interface LoadedPlugins {
  readonly plugins: readonly LoadedPlugin[];
  readonly keySources: ReadonlyMap<string, Contributed<KeySourceContribution>>;
  readonly revocationTransports: ReadonlyMap<string, Contributed<RevocationTransportContribution>>;
  readonly eventPublishers: ReadonlyMap<string, Contributed<EventPublisherContribution>>;
  readonly coreTargets: ReadonlyMap<string, Contributed<CoreTargetContribution>>;
  readonly auditSinks: ReadonlyMap<string, Contributed<AuditSinkContribution>>;
  readonly ciphers: ReadonlyMap<string, Contributed<CipherContribution>>;
  readonly hooks: ReadonlyMap<string, Contributed<HooksContribution>>;
  readonly doors: ReadonlyMap<string, Contributed<DoorContribution>>;
}

const KINDS = [
  "keySources",
  "revocationTransports",
  "eventPublishers",
  "coreTargets",
  "auditSinks",
  "ciphers",
  "hooks",
  "doors",
] as const;
const KNOWN_KEYS = ["name", "apiVersion", "version", ...KINDS];
/** Names that the configuration uses itself, beside the sections of the contributions. */
const RESERVED_NAMES = ["core", "use", "name", "timeout", "on_failure"];
const CONTRIBUTION_NAME = /^[a-z][a-z0-9_-]{0,63}$/;

/**
 * Loads every entry, in order. A relative path starts from `baseDirectory`. An entry that is neither a path nor an object
 * with one is left for the configuration's check to complain about.
 *
 * @throws {PluginError} for the first plugin that cannot be loaded: the edge must not start without it.
 */
export async function loadPlugins(
  entries: readonly unknown[],
  baseDirectory: string,
  log: PluginLog,
): Promise<LoadedPlugins> {
  const plugins: LoadedPlugin[] = [];
  for (const entry of entries.filter(isEntry)) {
    const loaded = await loadPlugin(entry, baseDirectory);
    log.info({ plugin: loaded.plugin.name, path: loaded.path, version: loaded.plugin.version }, "plugin loaded");
    plugins.push(loaded);
  }
  return {
    plugins,
    keySources: collect(plugins, "keySources"),
    revocationTransports: collect(plugins, "revocationTransports"),
    eventPublishers: collect(plugins, "eventPublishers"),
    coreTargets: collect(plugins, "coreTargets"),
    auditSinks: collect(plugins, "auditSinks"),
    ciphers: collect(plugins, "ciphers"),
    hooks: collect(plugins, "hooks"),
    doors: collect(plugins, "doors"),
  };
}

/** Loads one plugin. @throws {PluginError} */
export async function loadPlugin(entry: PluginEntry, baseDirectory: string): Promise<LoadedPlugin> {
  const { path: given, sha256, owner, allow = [] } = typeof entry === "string" ? { path: entry } : entry;
  const path = resolve(baseDirectory, given);
  checkTrust(path, { user: process.getuid?.(), ...(owner === undefined ? {} : { alsoTrusted: owner }) });
  if (sha256 !== undefined) {
    checkPin(path, sha256);
    refuseUnseen(path, allow);
  }
  const plugin = checkPlugin(path, await importDefault(path, entryFile(path)));
  return { path, plugin };
}

function checkPin(path: string, sha256: string): void {
  const actual = hashPlugin(path);
  if (actual === sha256.toLowerCase()) return;
  throw new PluginError(
    "changed",
    path,
    `its files have SHA-256 ${actual}, but the configuration pins ${sha256}. If you changed the plugin yourself, write the new hash there; if not, find out who did.`,
  );
}

/** A pin is a promise of what runs: what it can't promise is said in the configuration. */
function refuseUnseen(path: string, allow: readonly Allowance[]): void {
  const unseen = unseenCodeOf(realpathSync(path)).find(({ allowance }) => !allow.includes(allowance));
  if (unseen === undefined) return;
  const { allowance, file, line } = unseen;
  throw new PluginError(
    "not_trusted",
    path,
    `${file}${line === undefined ? "" : `:${line}`} ${ALLOWANCES[allowance]}, which a pin does not cover. If it may, say "allow: [${allowance}]" in the plugin's entry.`,
  );
}

/** The file to import: the path itself, or what the folder's package.json exports, or its `plugin.ts` (or .js, .mjs). */
function entryFile(path: string): string {
  if (!statSync(path).isDirectory()) {
    if (/\.(ts|mts|js|mjs|cjs)$/.test(path)) return path;
    throw new PluginError(
      "not_found",
      path,
      "is not a TypeScript or JavaScript file. Name a folder, or a .ts or .js file.",
    );
  }
  const names = new Set(readdirSync(path));
  const exported = names.has("package.json") ? exportOf(path) : undefined;
  if (exported !== undefined) {
    const file = resolve(path, exported);
    if (!file.startsWith(`${path}/`)) {
      throw new PluginError(
        "not_trusted",
        path,
        `its package.json exports "${exported}", outside its folder. Correct it.`,
      );
    }
    if (statSync(file, { throwIfNoEntry: false })?.isFile()) return file;
    throw new PluginError("not_found", path, `its package.json exports "${exported}", which is not there. Correct it.`);
  }
  const found = ["plugin.ts", "plugin.js", "plugin.mjs"].find((name) => names.has(name));
  if (found !== undefined) return join(path, found);
  throw new PluginError(
    "not_found",
    path,
    'the folder has neither a package.json with "exports", nor a plugin.ts, plugin.js or plugin.mjs. Name the plugin\'s own folder.',
  );
}

function exportOf(folder: string): string | undefined {
  let manifest: unknown;
  try {
    manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  } catch (cause) {
    throw new PluginError("not_loadable", folder, `its package.json cannot be read: ${messageOf(cause)}. Correct it.`, {
      cause,
    });
  }
  if (!isRecord(manifest)) return undefined;
  const exported = isRecord(manifest.exports) ? manifest.exports["."] : (manifest.exports ?? manifest.main);
  return typeof exported === "string" ? exported : undefined;
}

async function importDefault(path: string, file: string): Promise<unknown> {
  try {
    const module = (await import(addressOf(file))) as { default?: unknown };
    return module.default;
  } catch (cause) {
    throw new PluginError("not_loadable", path, `${causeOfImport(cause, file)}`, { cause });
  }
}

/** The URL of a file, without the module `node:url`, which would stay in the heap that answers requests. */
function addressOf(file: string): string {
  return `file://${encodeURI(file).replace(/[?#]/g, encodeURIComponent)}`;
}

/** A failed import in words; a missing package is by far the most frequent one, so it gets advice of its own. */
function causeOfImport(cause: unknown, file: string): string {
  // A syntax error in TypeScript comes as several errors in one, each with its place.
  const errors = cause instanceof AggregateError ? cause.errors : [cause];
  const messages = errors.map((error: unknown) => {
    const position = (error as { position?: { file?: string; line?: number; column?: number } | null }).position;
    const place = position ? ` (${basename(position.file ?? file)}:${position.line}:${position.column})` : "";
    return `${messageOf(error)}${place}`;
  });
  const text = messages.join("; ");
  if (/cannot find (module|package)|could not resolve|module not found|ERR_MODULE_NOT_FOUND/i.test(text)) {
    return `${text}. Install the plugin's dependencies: run "npm install" in ${dirname(file)}.`;
  }
  return `its code does not load: ${text}. Correct ${basename(file)}, then try "crypto-edge plugin check ${dirname(file)}".`;
}

function checkPlugin(path: string, value: unknown): Plugin {
  const not = (why: string): PluginError => new PluginError("not_a_plugin", path, why);
  if (!isRecord(value)) {
    throw not('its default export is no plugin. Write "export default definePlugin({ … })".');
  }
  // The version first: a plugin for another one may well have another shape.
  if (value.apiVersion !== PLUGIN_API_VERSION) {
    throw new PluginError(
      "wrong_version",
      path,
      typeof value.apiVersion === "number"
        ? `it is written for version ${value.apiVersion} of the plugin interface, and this crypto-edge has version ${PLUGIN_API_VERSION}. ${value.apiVersion > PLUGIN_API_VERSION ? "Use a newer crypto-edge, or an older release of the plugin." : "Use a newer release of the plugin."}`
        : `its apiVersion is missing or no number. Write "apiVersion: ${PLUGIN_API_VERSION}".`,
    );
  }
  if (typeof value.name !== "string" || !CONTRIBUTION_NAME.test(value.name)) {
    throw not('its name must be text of lower-case letters, digits, "-" and "_", such as "my-hsm".');
  }
  for (const key of Object.keys(value)) {
    if (!KNOWN_KEYS.includes(key)) throw not(`it has "${key}", which no plugin has. Known: ${KNOWN_KEYS.join(", ")}.`);
  }
  if (!KINDS.some((kind) => isRecord(value[kind]) && Object.keys(value[kind]).length > 0)) {
    throw not(`it contributes nothing. Give it one of ${KINDS.join(", ")}.`);
  }
  for (const kind of KINDS) {
    const contributions = value[kind];
    if (contributions === undefined) continue;
    if (!isRecord(contributions)) throw not(`${kind} must be an object: a contribution by its name.`);
    for (const [name, contribution] of Object.entries(contributions)) {
      const where = `${kind}.${name}`;
      if (!CONTRIBUTION_NAME.test(name)) {
        throw not(`${where}: the name must be of lower-case letters, digits, "-" and "_".`);
      }
      if (RESERVED_NAMES.includes(name)) {
        throw new PluginError("name_taken", path, `${where}: the name "${name}" is the edge's own. Choose another.`);
      }
      if (!isRecord(contribution) || typeof contribution.create !== "function") {
        throw not(`${where} has no function "create".`);
      }
      if (!isRecord(contribution.configuration) || contribution.configuration.type !== "object") {
        throw not(`${where}.configuration must be a schema of an object. Write "configuration: Section({ … })".`);
      }
      if (kind === "doors" && contribution.transport !== "http" && contribution.transport !== "socket") {
        throw not(`${where}.transport must be "http" (routes) or "socket" (a protocol of its own).`);
      }
    }
  }
  return value as unknown as Plugin;
}

function collect<Kind extends (typeof KINDS)[number]>(
  plugins: readonly LoadedPlugin[],
  kind: Kind,
): ReadonlyMap<string, Contributed<NonNullable<Plugin[Kind]>[string]>> {
  const collected = new Map<string, Contributed<NonNullable<Plugin[Kind]>[string]>>();
  for (const from of plugins) {
    for (const [name, contribution] of Object.entries(from.plugin[kind] ?? {})) {
      const earlier = collected.get(name);
      if (earlier !== undefined) {
        throw new PluginError(
          "name_taken",
          from.path,
          `${kind}.${name} is there already, from ${earlier.from.path}. Take one of the two out of \`plugins\`.`,
        );
      }
      collected.set(name, { from, contribution: contribution as NonNullable<Plugin[Kind]>[string] });
    }
  }
  return collected;
}

function isEntry(entry: unknown): entry is PluginEntry {
  return typeof entry === "string" || (isRecord(entry) && typeof entry.path === "string");
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
