/**
 * The Core's master key: from a file, an environment variable, a credential of systemd, or opened at start by a plugin's key
 * source, so that what lies on the disk is wrapped by an HSM or a KMS. Every buffer that is returned is the caller's, who
 * wipes it. No error quotes the content.
 */
import { statSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { readFileBytes } from "../base/read-file.ts";
import { wipe } from "../base/wipe.ts";
import type { KeySource } from "../edge/key-source/key-source.ts";

const MASTER_KEY_BYTES = 32;
const OPEN_TIMEOUT_MS = 30_000;

export interface MasterKeys {
  readonly current: Uint8Array;
  readonly former?: Uint8Array;
}

export type PlainMasterKey =
  | { readonly file: string }
  | { readonly environment: string }
  | { readonly credential: string };

/** 32 bytes, raw (not of a variable), as 64 hex digits, or as base64. @throws Error with a sentence that says what to do */
export function loadMasterKey(source: PlainMasterKey, environment: NodeJS.ProcessEnv = process.env): Uint8Array {
  const { where, content } = read(source, environment);
  if (content.length === 0)
    throw new Error(`${where} is empty: put a key of 32 random bytes there, such as "openssl rand -hex 32" prints`);
  try {
    return parseMasterKey(content);
  } catch {
    throw new Error(
      `${where} does not hold a master key: it must be 32 bytes, as they are, as 64 hex digits or as base64`,
    );
  } finally {
    content.fill(0);
  }
}

/** Reads a master key from any of its three forms. The result is a new buffer. */
export function parseMasterKey(content: Uint8Array): Uint8Array {
  if (content.length === MASTER_KEY_BYTES) return Uint8Array.from(content);
  const text = Buffer.from(content).toString("latin1").trim();
  const key = /^[0-9a-fA-F]{64}$/.test(text)
    ? Buffer.from(text, "hex")
    : /^[A-Za-z0-9+/_-]{43}=?$/.test(text)
      ? Buffer.from(text, "base64")
      : undefined;
  if (key?.length !== MASTER_KEY_BYTES) throw new RangeError("not a master key");
  return Uint8Array.from(key);
}

/**
 * Opens the master key that a key source keeps as a service key: the active version is the master key, a deprecated one the
 * former.
 *
 * @throws Error with the source's own reason
 */
export async function unwrapMasterKey(
  source: KeySource,
  { tenant, service }: { readonly tenant: string; readonly service: string },
): Promise<MasterKeys> {
  await source.start?.();
  let versions: readonly { readonly state: string; readonly key: Uint8Array }[];
  try {
    ({ versions } = await source.lease({ tenant, service }, AbortSignal.timeout(OPEN_TIMEOUT_MS)));
  } catch (error) {
    throw new Error(`the master key can't be opened by ${source.name}: ${messageOf(error)}`, { cause: error });
  }
  const current = versions.find(({ state }) => state === "active")?.key;
  const former = versions.find(({ state }) => state === "deprecated")?.key;
  for (const { key } of versions) if (key !== current && key !== former) wipe(key);
  if (current === undefined) throw new Error(`${source.name} has no active version of ${tenant}/${service}`);
  return { current, ...(former === undefined ? {} : { former }) };
}

function read(source: PlainMasterKey, environment: NodeJS.ProcessEnv): { where: string; content: Buffer } {
  if ("environment" in source) {
    const { environment: name } = source;
    return { where: `the environment variable ${name}`, content: Buffer.from(environment[name] ?? "") };
  }
  if ("file" in source) return readKeyFile("the master key file", source.file);
  const folder = environment.CREDENTIALS_DIRECTORY;
  if (folder === undefined || folder === "") {
    throw new Error(
      `systemd hands over no credentials: start the Core as its service, with LoadCredential=${source.credential}:PATH`,
    );
  }
  return readKeyFile("the credential", join(folder, source.credential));
}

function readKeyFile(what: string, path: string): { where: string; content: Buffer } {
  const content = readFileBytes(path, what);
  if ((statSync(path).mode & 0o007) !== 0) {
    wipe(content);
    throw new Error(`${what} ${path} is open to everybody: chmod 600 it, and think of the key as known`);
  }
  return { where: `${what} ${path}`, content };
}
