/** `vault:vN:BASE64`: our blob with its version before it; and what Vault binds to a ciphertext. */
import { fromBase64, toBase64 } from "../../../base/base64.ts";
import { OperationError } from "../../../base/errors.ts";
import { versionOf } from "../../cipher/blob-header.ts";
import type { EncryptionContext } from "../../cipher/context.ts";
import type { JsonObject } from "../json-body.ts";
import { invalid } from "./answers.ts";

const PREFIX = "vault:v";
const VERSION = /^[1-9][0-9]{0,9}$/;

export function writeCiphertext(wrapped: Uint8Array, version: number): string {
  return `${PREFIX}${version}:${toBase64(wrapped)}`;
}

/** The blob. Its version is the one before it, or neither is trusted. @throws {OperationError} `invalid_blob` */
export function readCiphertext(text: unknown): Uint8Array {
  if (typeof text !== "string" || text === "") throw invalid("missing ciphertext to decrypt");
  const colon = text.indexOf(":", PREFIX.length);
  const version = text.slice(PREFIX.length, colon);
  if (!text.startsWith(PREFIX) || colon < 0 || !VERSION.test(version))
    throw malformed("it does not begin with vault:vN:");
  const wrapped = fromBase64(text.slice(colon + 1));
  if (wrapped === undefined) throw malformed("could not decode base64");
  if (wrapped.length >= 8 && versionOf(wrapped) !== Number(version)) {
    throw malformed("the version before it is not its own");
  }
  return wrapped;
}

function malformed(reason: string): OperationError {
  return new OperationError("invalid_blob", reason);
}

/** Of 1 to 65,536 bytes, which the pipeline checks; the caller wipes it. */
export function readPlaintext({ plaintext }: JsonObject): Uint8Array {
  if (typeof plaintext !== "string") throw invalid("missing plaintext to encrypt");
  const bytes = fromBase64(plaintext);
  if (bytes === undefined) throw invalid("failed to base64-decode plaintext");
  return bytes;
}

/** `context` and `associated_data`, under names that no caller can give otherwise; absent where they are empty. */
export function readContext(body: JsonObject): EncryptionContext | undefined {
  const { context, associated_data: associated } = body;
  if (context === undefined && associated === undefined) return undefined;
  const first = canonical(context, "context");
  const second = canonical(associated, "associated_data");
  if (first === undefined && second === undefined) return undefined;
  return {
    ...(first === undefined ? {} : { "vault:context": first }),
    ...(second === undefined ? {} : { "vault:associated_data": second }),
  };
}

/** However it was written, the same bytes are the same text. */
function canonical(value: unknown, name: string): string | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  const bytes = typeof value === "string" ? fromBase64(value) : undefined;
  if (bytes === undefined) throw invalid(`failed to base64-decode ${name}`);
  return bytes.length === 0 ? undefined : toBase64(bytes);
}

/** Members that a caller relies on: to ignore one would give less, or other, than was asked for. */
export function refuseUnserved(body: JsonObject): void {
  for (const name of ["nonce", "padding_scheme", "iv"] as const) {
    const value = body[name];
    if (value !== undefined && value !== null && value !== "") throw invalid(`${name} is not supported by this edge`);
  }
  if (isTrue(body.convergent_encryption)) throw invalid("convergent_encryption is not supported by this edge");
  const { type } = body;
  if (type !== undefined && type !== null && type !== "" && type !== "aes256-gcm96") {
    throw invalid("the type of keys here is aes256-gcm96, and no other");
  }
}

export function isTrue(value: unknown): boolean {
  return value === true || value === 1 || (typeof value === "string" && /^(true|t|1)$/i.test(value));
}

/** 0 where none is asked for: the active one. Vault takes numbers as text too. */
export function readVersion(value: unknown): number {
  if (value === undefined || value === null || value === "") return 0;
  const version = typeof value === "string" && /^\d{1,10}$/.test(value) ? Number(value) : value;
  if (typeof version !== "number" || !Number.isInteger(version) || version < 0)
    throw invalid("key_version is a whole number");
  return version;
}
