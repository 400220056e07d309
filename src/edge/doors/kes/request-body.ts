/** The bodies of KES requests: JSON of byte strings in standard base64, with padding. */
import { createHash } from "node:crypto";
import type { EncryptionContext } from "../../cipher/context.ts";
import type { DoorRequest } from "../door.ts";
import { badRequest } from "./answers.ts";

/** As KES has it. */
export const BODY_LENGTH_MAX = 1024 * 1024;

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** The members of a JSON object; others than those that are asked for are passed over, as KES does. @throws {KesError} 400 */
export function readBody({ body }: DoorRequest): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw badRequest("the request body is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw badRequest("the request body is not a JSON object");
  }
  return value as Record<string, unknown>;
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
