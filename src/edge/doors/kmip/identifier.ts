/**
 * The unique identifier of an object *is* the object: its wrapped bytes, and before them what KMIP wants to know of it. So the edge keeps
 * nothing, and any edge of the Core opens it.
 *
 *     k.<blob>               an AES key for encryption and decryption, raw
 *     s.<blob>               secret data: a seed, opaque, without a usage mask (what MongoDB registers)
 *     k.<algorithm>-<usage mask>-<format>.<blob>
 *     s.<secret data type>-<usage mask>-<format>.<blob>
 *
 * All before the blob is bound to it as `kmip:object`: a key can't be had as secret data, nor a usage mask be widened.
 */
import { fromBase64url, toBase64url } from "../../../base/base64url.ts";
import type { EncryptionContext } from "../../cipher/context.ts";
import { ALGORITHM, KEY_FORMAT, OBJECT_TYPE, SECRET_DATA_TYPE, USAGE } from "./enumerations.ts";
import { noSuchObject } from "./failure.ts";

export type ObjectKind =
  | { readonly objectType: typeof OBJECT_TYPE.symmetricKey; readonly algorithm: number }
  | { readonly objectType: typeof OBJECT_TYPE.secretData; readonly secretDataType: number };

export type ManagedObject = ObjectKind & {
  /** 0 to 2^31 - 1. */
  readonly usageMask: number;
  readonly keyFormat: number;
};

const AES_KEY = `${ALGORITHM.aes}-${USAGE.encrypt | USAGE.decrypt}-${KEY_FORMAT.raw}`;
const SEED = `${SECRET_DATA_TYPE.seed}-0-${KEY_FORMAT.opaque}`;

const NUMBER = "(0|[1-9][0-9]{0,9})";
const IDENTIFIER = new RegExp(`^([ks])\\.(?:${NUMBER}-${NUMBER}-${NUMBER}\\.)?([A-Za-z0-9_-]+)$`);

export function writeIdentifier(object: ManagedObject, blob: Uint8Array): string {
  return `${prefixOf(object)}.${toBase64url(blob)}`;
}

/** What the blob is bound to. */
export function contextOf(object: ManagedObject): EncryptionContext {
  return { "kmip:object": prefixOf(object) };
}

/** @throws {KmipFailure} `itemNotFound` for text that `writeIdentifier` does not write */
export function readIdentifier(identifier: string): { readonly object: ManagedObject; readonly blob: Uint8Array } {
  const [, letter, ...parts] = IDENTIFIER.exec(identifier) ?? [];
  const blob = fromBase64url(parts[3] ?? "");
  if (letter === undefined || blob === undefined) throw noSuchObject();
  const usual = letter === "k" ? AES_KEY : SEED;
  const [first = 0, usageMask = 0, keyFormat = 0] =
    parts[0] === undefined ? usual.split("-").map(Number) : parts.slice(0, 3).map(Number);
  const object: ManagedObject =
    letter === "k"
      ? { objectType: OBJECT_TYPE.symmetricKey, algorithm: first, usageMask, keyFormat }
      : { objectType: OBJECT_TYPE.secretData, secretDataType: first, usageMask, keyFormat };
  // One object, one identifier: what is usual is not written out.
  if (usageMask > 0x7fff_ffff || identifier !== `${prefixOf(object)}.${parts[3]}`) throw noSuchObject();
  return { object, blob };
}

function prefixOf(object: ManagedObject): string {
  const [letter, first, usual] =
    object.objectType === OBJECT_TYPE.symmetricKey
      ? (["k", object.algorithm, AES_KEY] as const)
      : (["s", object.secretDataType, SEED] as const);
  const written = `${first}-${object.usageMask}-${object.keyFormat}`;
  return written === usual ? letter : `${letter}.${written}`;
}
