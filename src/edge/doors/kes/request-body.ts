/** The bodies of KES requests: JSON of byte strings in standard base64, with padding. */
import { createHash } from "node:crypto";
import type { EncryptionContext } from "../../cipher/context.ts";
import type { MaybePromise } from "../../operations/operations.ts";
import type { DoorRequest } from "../door.ts";
import { type JsonObject, readJsonBody } from "../json-body.ts";
import { badRequest } from "./answers.ts";

/** As KES has it. */
export const BODY_LENGTH_MAX = 1024 * 1024;

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** A member that is no byte string is none of KES's, and is passed over. */
const LIMITS = { membersMax: 64, stringBytesMax: BODY_LENGTH_MAX, valueBytesMax: 16_384 };
const READING = { limits: LIMITS, notObject: () => badRequest("the request body is not a JSON object") };

/**
 * The members of a JSON object; others than those that are asked for are passed over, as KES does.
 *
 * @throws (or rejects with) {KesError} 400
 */
export function readBody({ body }: DoorRequest): MaybePromise<JsonObject> {
  return readJsonBody(body, READING);
}

/** Go writes no bytes as "" or null. @throws {KesError} 400 */
export function bytesOf(body: Readonly<Record<string, unknown>>, name: string): Uint8Array {
  const text = Object.hasOwn(body, name) ? (body[name] ?? "") : "";
  const bytes = typeof text === "string" && BASE64.test(text) ? Buffer.from(text, "base64") : undefined;
  // Bits left over would give one ciphertext several spellings.
  if (bytes === undefined || bytes.toString("base64") !== text) {
    throw badRequest(`"${name}" is not base64 with padding`);
  }
  return bytes;
}

/**
 * What a ciphertext is bound to. KES's context is bytes of any kind and length, so its hash is bound; MinIO's `{}` is two bytes, and another
 * context than none.
 */
export function contextOf(body: Readonly<Record<string, unknown>>): EncryptionContext | undefined {
  const context = bytesOf(body, "context");
  if (context.length === 0) return undefined;
  return { "kes:context": createHash("sha256").update(context).digest("hex") };
}
