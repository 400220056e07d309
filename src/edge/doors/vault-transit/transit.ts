/** The operations of the Transit secrets engine that this door has, each over the edge's own. */
import { toBase64 } from "../../../base/base64.ts";
import { OperationError } from "../../../base/errors.ts";
import { wipe } from "../../../base/wipe.ts";
import { beginsAsBlob, isBlobOf } from "../../cipher/blob-header.ts";
import type { Caller, KeyDescription, MaybePromise, Operations, ServiceKeyName } from "../../operations/operations.ts";
import { after, usingSecrets } from "../after.ts";
import type { JsonObject } from "../json-body.ts";
import { invalid, VaultError } from "./answers.ts";
import {
  isTrue,
  readCiphertext,
  readContext,
  readPlaintext,
  readVersion,
  refuseUnserved,
  writeCiphertext,
} from "./ciphertext.ts";

export interface TransitCall {
  readonly operations: Operations;
  readonly caller: Caller;
  readonly key: ServiceKeyName;
  readonly body: JsonObject;
}

// Base64 holds nothing that JSON escapes. Each answers the text of `data`.

export function encrypt(call: TransitCall): MaybePromise<string> {
  const { operations, caller, key, body } = call;
  refuseUnserved(body);
  const context = readContext(body);
  const version = readVersion(body.key_version);
  const value = readPlaintext(body);
  const run = (): MaybePromise<string> =>
    after(
      operations.encryptValue(caller, { tenant: key.tenant, service: key.service, value, context }),
      ({ wrapped, version }) => `{"ciphertext":"${writeCiphertext(wrapped, version)}","key_version":${version}}`,
    );
  return usingSecrets([value], () => (version === 0 ? run() : after(demandActive(call, version), run)));
}

export function decrypt(call: TransitCall): MaybePromise<string> {
  const { operations, caller, body } = call;
  refuseUnserved(body);
  const context = readContext(body);
  const wrapped = readCiphertext(body.ciphertext);
  const run = (): MaybePromise<string> =>
    after(operations.open(caller, { wrapped, context }), ({ plaintext }) => {
      const data = `{"plaintext":"${toBase64(plaintext)}"}`;
      wipe(plaintext);
      return data;
    });
  return isOfKey(call.key, wrapped) ? run() : refuseOtherKey(call);
}

export function rewrap(call: TransitCall): MaybePromise<string> {
  const { operations, caller, body } = call;
  refuseUnserved(body);
  const context = readContext(body);
  const version = readVersion(body.key_version);
  const wrapped = readCiphertext(body.ciphertext);
  const run = (): MaybePromise<string> =>
    after(
      operations.rewrap(caller, { wrapped, context }),
      (made) => `{"ciphertext":"${writeCiphertext(made.wrapped, made.version)}","key_version":${made.version}}`,
    );
  if (!isOfKey(call.key, wrapped)) return refuseOtherKey(call);
  return version === 0 ? run() : after(demandActive(call, version), run);
}

const LENGTHS: ReadonlyMap<unknown, 16 | 32 | 64> = new Map([
  [128, 16],
  [256, 32],
  [512, 64],
]);

export function dataKey(call: TransitCall, plaintext: boolean): MaybePromise<string> {
  const { operations, caller, key, body } = call;
  refuseUnserved(body);
  const context = readContext(body);
  const bits = body.bits ?? 256;
  // Vault takes numbers as text too.
  const length = LENGTHS.get(typeof bits === "string" ? Number(bits) : bits);
  if (length === undefined) throw invalid("invalid bit length: 128, 256 or 512");
  const request = { tenant: key.tenant, service: key.service, length, context, plaintext } as const;
  return after(operations.createKey(caller, request), ({ wrapped, version, plaintext: dataKey }) => {
    const made = `{"ciphertext":"${writeCiphertext(wrapped, version)}","key_version":${version}`;
    if (dataKey === undefined) return `${made}}`;
    const data = `${made},"plaintext":"${toBase64(dataKey)}"}`;
    wipe(dataKey);
    return data;
  });
}

/** `keys/NAME`, read. A key that the Core does not know has Vault's 404 without a word, which its Go library takes as "none". */
export function readKey(call: TransitCall, name: string): MaybePromise<string> {
  return describe(call, name, () => new VaultError(404, ""));
}

/** `keys/NAME`, written: set-up code asks for a key that it expects to be there. Only that is a success. */
export function ensureKey(call: TransitCall, name: string): MaybePromise<string> {
  refuseUnserved(call.body);
  for (const option of ["derived", "exportable", "allow_plaintext_backup"]) {
    if (isTrue(call.body[option])) throw invalid(`${option} is not supported by this edge`);
  }
  const sentence = "permission denied: keys are made at the Core (crypto-edge core service create)";
  return describe(call, name, () => new VaultError(403, sentence));
}

function describe(call: TransitCall, name: string, missing: () => VaultError): MaybePromise<string> {
  const write = (found: KeyDescription): string => writeKey(name, found);
  const failed = (error: unknown): never => {
    throw error instanceof OperationError && error.code === "key_not_found" ? missing() : error;
  };
  try {
    const described = call.operations.describeKey(call.caller, call.key);
    return described instanceof Promise ? described.then(write, failed) : write(described);
  } catch (error) {
    return failed(error);
  }
}

function writeKey(name: string, { version: latest, versions }: KeyDescription): string {
  const known = versions.map(({ version }) => version);
  return JSON.stringify({
    name,
    type: "aes256-gcm96",
    latest_version: latest,
    min_available_version: 0,
    min_decryption_version: Math.min(latest, ...known),
    min_encryption_version: 0,
    // Vault tells when each was made; an edge isn't told.
    keys: Object.fromEntries([...new Set([...known, latest])].sort((a, b) => a - b).map((version) => [version, 0])),
    derived: false,
    exportable: false,
    allow_plaintext_backup: false,
    auto_rotate_period: 0,
    deletion_allowed: false,
    imported_key: false,
    supports_encryption: true,
    supports_decryption: true,
    supports_derivation: false,
    supports_signing: false,
  });
}

/** What is no blob at all is refused when it is opened. */
export function isOfKey(key: ServiceKeyName, wrapped: Uint8Array): boolean {
  return !beginsAsBlob(wrapped) || isBlobOf(wrapped, key);
}

/** Of another key than the path's: told to whoever may use the path's key, and to no one else. */
function refuseOtherKey(call: TransitCall): MaybePromise<never> {
  return after(call.operations.describeKey(call.caller, call.key), () => {
    throw otherKey();
  });
}

export function otherKey(): OperationError {
  return new OperationError("invalid_blob", "it was made under another key");
}

/** @throws {OperationError} unless it is the active version: an edge makes no other. */
export function demandActive(
  { operations, caller, key }: Omit<TransitCall, "body">,
  version: number,
): MaybePromise<void> {
  return after(operations.describeKey(caller, key), (described) => {
    if (described.version !== version) throw invalid("requested version for encryption is not the active one");
  });
}
