import { type EncryptionContext, encodeContext } from "../../edge/cipher/context.ts";
import { CryptoEdgeError, withClientErrors } from "./edge-error.ts";

/** What a member of a context may be made from. */
export type ContextValue = string | number | bigint | boolean | Date;

/**
 * An encryption context out of an application's values, the same text each time: whole numbers and bigints in decimal, dates
 * as ISO 8601 in UTC, booleans as `true` and `false`.
 *
 * @example
 * ```ts
 * contextFrom({ table: "invoices", column: "text", id: 4711n }); // { table: "invoices", column: "text", id: "4711" }
 * ```
 * @throws {CryptoEdgeError} `invalid_request` for null, undefined, fractions and objects (a record bound to `undefined` would be bound
 * to nothing), and for a context that is too large.
 */
export function contextFrom(values: Readonly<Record<string, ContextValue>>): EncryptionContext {
  const context: Record<string, string> = Object.create(null);
  for (const [key, value] of Object.entries(values)) context[key] = textOf(key, value);
  encodedContext(context);
  return context;
}

function textOf(key: string, value: ContextValue): string {
  if (typeof value === "string") return value;
  if (typeof value === "bigint" || typeof value === "boolean") return String(value);
  if (typeof value === "number" && Number.isSafeInteger(value)) return String(value);
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value.toISOString();
  throw new CryptoEdgeError(
    "invalid_request",
    `The context's "${key}" is neither text, a whole number, a boolean nor a date: make a text of it.`,
  );
}

/** The context's one encoding (blob-format.md), with this package's errors. */
export function encodedContext(context: EncryptionContext | undefined): Uint8Array {
  return withClientErrors(() => encodeContext(context));
}
