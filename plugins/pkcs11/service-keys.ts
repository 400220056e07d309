/** Service keys on a token: as its own objects, or outside it, wrapped under a key that never leaves it. */
import { readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import pkcs11 from "pkcs11js";
import type { TokenSession } from "./token.ts";

export type State = "active" | "deprecated" | "compromised" | "destroyed";
export const STATES: readonly State[] = ["active", "deprecated", "compromised", "destroyed"];

export interface ServiceKeyName {
  readonly tenant: string;
  readonly service: string;
}

/** A version, with a way to its 32 bytes; the caller of `open` owns and wipes them. */
export interface StoredVersion {
  readonly version: number;
  readonly state: State;
  open(session: TokenSession): Promise<Uint8Array>;
}

export class StoredKeyError extends Error {
  override readonly name = "StoredKeyError";
}

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/* ---- wrapped, in a file ---- */

/** The file: JSON, holding nothing secret. Each key is AES-256-GCM under the token's key, bound to its name and version. */
export interface WrappedKeyFile {
  readonly format: "crypto-edge wrapped service keys, version 1";
  keys: WrappedKey[];
}

export interface WrappedKey {
  readonly tenant: string;
  readonly service: string;
  readonly version: number;
  state: State;
  /** Base64url of nonce, ciphertext and tag. */
  readonly wrapped: string;
}

export const WRAPPED_KEY_FILE = "crypto-edge wrapped service keys, version 1";

/** Reads the file when it has changed. */
export class WrappedKeyStore {
  readonly #path: string;
  #stamp = "";
  #keys: readonly WrappedKey[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  versions({ tenant, service }: ServiceKeyName, wrappingKeyLabel: string): StoredVersion[] {
    return this.#read()
      .filter((key) => key.tenant === tenant && key.service === service)
      .map((key) => ({
        version: key.version,
        state: key.state,
        open: (session) => unwrap(session, wrappingKeyLabel, key),
      }));
  }

  #read(): readonly WrappedKey[] {
    const { mtimeMs, size, ino } = statSync(this.#path);
    const stamp = `${mtimeMs} ${size} ${ino}`;
    if (stamp !== this.#stamp) {
      this.#keys = readWrappedKeys(this.#path).keys;
      this.#stamp = stamp;
    }
    return this.#keys;
  }
}

/** @throws {StoredKeyError} with what is wrong in the file */
export function readWrappedKeys(path: string): WrappedKeyFile {
  const wrong = (what: string): StoredKeyError => new StoredKeyError(`${path}: ${what}`);
  let file: WrappedKeyFile;
  try {
    file = JSON.parse(readFileSync(path, "utf8")) as WrappedKeyFile;
  } catch (error) {
    throw wrong(`can't be read: ${error instanceof Error ? error.message : error}`);
  }
  if (file?.format !== WRAPPED_KEY_FILE || !Array.isArray(file.keys))
    throw wrong(`is no file of "${WRAPPED_KEY_FILE}"`);
  const seen = new Set<string>();
  for (const [index, key] of file.keys.entries()) {
    const name = `${key?.tenant}/${key?.service}/${key?.version}`;
    if (!Number.isInteger(key?.version) || key.version < 1 || key.version > 2 ** 32 - 1) {
      throw wrong(`keys[${index}] has no version`);
    }
    if (!STATES.includes(key.state)) throw wrong(`keys[${index}] has no state of ${STATES.join(", ")}`);
    if (typeof key.wrapped !== "string") throw wrong(`keys[${index}] has no wrapped key`);
    if (seen.has(name)) throw wrong(`${name} is there twice`);
    seen.add(name);
  }
  return file;
}

/** Written beside and renamed, so that an edge never reads half a file. */
export function writeWrappedKeys(path: string, file: WrappedKeyFile): void {
  const next = `${path}.new`;
  writeFileSync(next, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o640 });
  renameSync(next, path);
}

/** Wraps `key` (the caller's, who wipes it) under the token's key. */
export async function wrap(
  session: TokenSession,
  wrappingKeyLabel: string,
  name: ServiceKeyName & { version: number },
  key: Uint8Array,
): Promise<string> {
  const { library, handle } = session;
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const wrappingKey = findWrappingKey(session, wrappingKeyLabel);
  library.C_EncryptInit(handle, gcm(nonce, name), wrappingKey);
  const sealed = library.C_Encrypt(handle, view(key), Buffer.alloc(KEY_BYTES + TAG_BYTES));
  return Buffer.concat([nonce, sealed]).toString("base64url");
}

async function unwrap(session: TokenSession, label: string, stored: WrappedKey): Promise<Uint8Array> {
  const { library, handle } = session;
  const bytes = Buffer.from(stored.wrapped, "base64url");
  if (bytes.length !== NONCE_BYTES + KEY_BYTES + TAG_BYTES) {
    throw new StoredKeyError(`${nameOf(stored)} is not ${KEY_BYTES} wrapped bytes`);
  }
  const wrappingKey = findWrappingKey(session, label);
  library.C_DecryptInit(handle, gcm(bytes.subarray(0, NONCE_BYTES), stored), wrappingKey);
  // Room for what a token may write before it has seen the tag.
  const opened = Buffer.alloc(KEY_BYTES + TAG_BYTES);
  try {
    const plaintext = await library.C_DecryptAsync(handle, bytes.subarray(NONCE_BYTES), opened);
    if (plaintext.length !== KEY_BYTES) throw new StoredKeyError(`${nameOf(stored)} is not ${KEY_BYTES} bytes`);
    const key = Uint8Array.from(plaintext);
    if (plaintext.buffer !== opened.buffer) plaintext.fill(0);
    return key;
  } finally {
    opened.fill(0);
  }
}

function gcm(nonce: Uint8Array, name: ServiceKeyName & { version: number }): pkcs11.Mechanism {
  const parameter: pkcs11.AesGCM = {
    type: pkcs11.CK_PARAMS_AES_GCM,
    iv: view(nonce),
    ivBits: NONCE_BYTES * 8,
    // Another key's name, or an older version's number, on a wrapped key does not open it.
    aad: Buffer.from(`crypto-edge service key\n${nameOf(name)}`),
    tagBits: TAG_BYTES * 8,
  };
  return { mechanism: pkcs11.CKM_AES_GCM, parameter };
}

function findWrappingKey(session: TokenSession, label: string): pkcs11.Handle {
  const [found, second] = findAll(session, [
    { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY },
    { type: pkcs11.CKA_LABEL, value: label },
  ]);
  if (found === undefined) session.assertPresent();
  if (found === undefined) throw new StoredKeyError(`the token has no secret key labelled "${label}"`);
  if (second !== undefined) throw new StoredKeyError(`the token has several secret keys labelled "${label}"`);
  return found;
}

/** Makes the wrapping key on the token: AES-256, never to leave it. */
export function createWrappingKey({ library, handle }: TokenSession, label: string): void {
  library.C_GenerateKey(handle, { mechanism: pkcs11.CKM_AES_KEY_GEN }, [
    { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY },
    { type: pkcs11.CKA_KEY_TYPE, value: pkcs11.CKK_AES },
    { type: pkcs11.CKA_VALUE_LEN, value: KEY_BYTES },
    { type: pkcs11.CKA_LABEL, value: label },
    { type: pkcs11.CKA_TOKEN, value: true },
    { type: pkcs11.CKA_PRIVATE, value: true },
    { type: pkcs11.CKA_SENSITIVE, value: true },
    { type: pkcs11.CKA_EXTRACTABLE, value: false },
    { type: pkcs11.CKA_ENCRYPT, value: true },
    { type: pkcs11.CKA_DECRYPT, value: true },
  ]);
}

/* ---- as objects of the token ---- */

/** All versions of a service key carry this label; the id of each says `<version>:<state>`. */
const labelOf = ({ tenant, service }: ServiceKeyName): string => `crypto-edge/${tenant}/${service}`;

export function objectVersions(
  session: TokenSession,
  name: ServiceKeyName,
): (StoredVersion & { object: pkcs11.Handle })[] {
  const objects = findAll(session, [
    { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY },
    { type: pkcs11.CKA_LABEL, value: labelOf(name) },
  ]);
  // "No such key" is an answer: it must not come from a token that is not there.
  if (objects.length === 0) session.assertPresent();
  return objects.map((object) => {
    const id = session.library.C_GetAttributeValue(session.handle, object, [{ type: pkcs11.CKA_ID }])[0]!;
    const [, version = "", state = ""] = /^([0-9]{1,10}):([a-z]+)$/.exec((id.value as Buffer).toString("latin1")) ?? [];
    if (!STATES.includes(state as State) || Number(version) < 1) {
      throw new StoredKeyError(`an object "${labelOf(name)}" has an id that is not <version>:<state>`);
    }
    return {
      object,
      version: Number(version),
      state: state as State,
      async open({ library, handle }) {
        const value = library.C_GetAttributeValue(handle, object, [{ type: pkcs11.CKA_VALUE }])[0]!.value as Buffer;
        try {
          if (value.length !== KEY_BYTES)
            throw new StoredKeyError(`an object "${labelOf(name)}" is not ${KEY_BYTES} bytes`);
          return Uint8Array.from(value);
        } finally {
          value.fill(0);
        }
      },
    };
  });
}

/** Makes a service key on the token, by the token's own random numbers. It can be read by whoever is logged in. */
export function createKeyObject(
  { library, handle }: TokenSession,
  name: ServiceKeyName,
  version: number,
  state: State,
): void {
  library.C_GenerateKey(handle, { mechanism: pkcs11.CKM_GENERIC_SECRET_KEY_GEN }, [
    { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY },
    { type: pkcs11.CKA_KEY_TYPE, value: pkcs11.CKK_GENERIC_SECRET },
    { type: pkcs11.CKA_VALUE_LEN, value: KEY_BYTES },
    { type: pkcs11.CKA_LABEL, value: labelOf(name) },
    { type: pkcs11.CKA_ID, value: Buffer.from(`${version}:${state}`) },
    { type: pkcs11.CKA_TOKEN, value: true },
    { type: pkcs11.CKA_PRIVATE, value: true },
    { type: pkcs11.CKA_SENSITIVE, value: false },
    { type: pkcs11.CKA_EXTRACTABLE, value: true },
    { type: pkcs11.CKA_MODIFIABLE, value: true },
  ]);
}

export function setObjectState(
  { library, handle }: TokenSession,
  object: pkcs11.Handle,
  version: number,
  state: State,
): void {
  library.C_SetAttributeValue(handle, object, [{ type: pkcs11.CKA_ID, value: Buffer.from(`${version}:${state}`) }]);
}

/* ---- shared ---- */

function findAll({ library, handle }: TokenSession, template: pkcs11.Template): pkcs11.Handle[] {
  library.C_FindObjectsInit(handle, template);
  try {
    const found: pkcs11.Handle[] = [];
    for (;;) {
      const batch = library.C_FindObjects(handle, 64);
      // A handle is the library's own buffer of 8 bytes: copied, since the next batch may use the same one.
      for (const object of batch) found.push(Buffer.from(object));
      if (batch.length < 64) return found;
    }
  } finally {
    library.C_FindObjectsFinal(handle);
  }
}

export function nameOf({ tenant, service, version }: ServiceKeyName & { version: number }): string {
  return `${tenant}/${service}/${version}`;
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
