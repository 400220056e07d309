/** Reads the members of a request, and refuses those that ask for something else than this door does. */
import { fromBase64 } from "../../../base/base64.ts";
import type { EncryptionContext } from "../../cipher/context.ts";
import { isJsonObject, type JsonObject } from "../json-body.ts";
import { invalid, KmsError } from "./errors.ts";

/** Members that a caller relies on: to ignore one would give more, or other, than was asked for. Unknown ones are ignored. */
export function refuseUnserved(body: JsonObject): void {
  if (body.Recipient !== undefined && body.Recipient !== null) {
    throw new KmsError(
      "UnsupportedOperationException",
      "This edge encrypts no answer for an enclave: leave Recipient out.",
    );
  }
  if (body.DryRun === true) {
    throw new KmsError("DryRunOperationException", "DryRun was asked for, and nothing was done. No right was checked.");
  }
  if (Array.isArray(body.GrantTokens) ? body.GrantTokens.length > 0 : isGiven(body.GrantTokens)) {
    throw new KmsError("InvalidGrantTokenException", "This edge knows no grants: leave GrantTokens out.");
  }
  for (const name of ALGORITHM_MEMBERS) {
    const value = body[name];
    if (value === "SYMMETRIC_DEFAULT" || !isGiven(value)) continue;
    throw new KmsError("InvalidKeyUsageException", `${name} is SYMMETRIC_DEFAULT here, and nothing else.`);
  }
}

const ALGORITHM_MEMBERS = [
  "EncryptionAlgorithm",
  "SourceEncryptionAlgorithm",
  "DestinationEncryptionAlgorithm",
] as const;

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

export function keyIdOf(body: JsonObject, name = "KeyId"): string {
  const value = body[name];
  if (typeof value === "string") return value;
  throw invalid(`${name} is missing, or no string.`);
}

export function optionalKeyIdOf(body: JsonObject, name: string): string | undefined {
  return isGiven(body[name]) ? keyIdOf(body, name) : undefined;
}

/** The decoded bytes are the caller's to wipe, where they are a plaintext. */
export function bytesOf(body: JsonObject, name: string, lengthMax: number): Uint8Array {
  const value = body[name];
  const bytes = typeof value === "string" ? fromBase64(value) : undefined;
  if (bytes === undefined) throw invalid(`${name} is missing, or not padded base64.`);
  if (bytes.length < 1 || bytes.length > lengthMax) throw invalid(`${name} has 1 to ${lengthMax} bytes.`);
  return bytes;
}

/** None for an absent and for an empty map: clients send either. That its values are strings is checked where it is encoded. */
export function contextOf(body: JsonObject, name = "EncryptionContext"): EncryptionContext | undefined {
  const value = body[name];
  if (value === undefined || value === null) return undefined;
  if (!isJsonObject(value)) throw invalid(`${name} is a map of strings.`);
  for (const _ in value) return value as EncryptionContext;
  return undefined;
}

export function sameContext(one: EncryptionContext | undefined, other: EncryptionContext | undefined): boolean {
  const names = Object.keys(one ?? {});
  if (names.length !== Object.keys(other ?? {}).length) return false;
  return names.every((name) => Object.hasOwn(other!, name) && one![name] === other![name]);
}

const SPECIFIED: Readonly<Record<string, number>> = { AES_128: 16, AES_256: 32 };
const NUMBER_OF_BYTES_MAX = 1024;

/** The length of the data key: exactly one of KeySpec and NumberOfBytes says it. */
export function dataKeyLengthOf({ KeySpec: spec, NumberOfBytes: bytes }: JsonObject): number {
  if (isGiven(spec) === isGiven(bytes)) throw invalid("Give exactly one of KeySpec and NumberOfBytes.");
  if (isGiven(spec)) {
    const length = typeof spec === "string" && Object.hasOwn(SPECIFIED, spec) ? SPECIFIED[spec] : undefined;
    if (length === undefined) throw invalid("KeySpec is AES_128 or AES_256.");
    return length;
  }
  if (typeof bytes !== "number" || !Number.isInteger(bytes) || bytes < 1 || bytes > NUMBER_OF_BYTES_MAX) {
    throw invalid(`NumberOfBytes is a whole number from 1 to ${NUMBER_OF_BYTES_MAX}.`);
  }
  return bytes;
}
