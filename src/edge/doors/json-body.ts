/** Bodies of protocols that speak JSON: an object, whose members each operation reads by itself. */
import { JsonError, parseJson } from "../../base/json/parse.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * The object that the body holds, read as strictly as everywhere: UTF-8, no member twice. For bodies of some 100 KB, since it is read in one
 * turn of the event loop; undefined for anything else.
 */
export function parseJsonObject(body: Uint8Array): JsonObject | undefined {
  try {
    const value = parseJson(body);
    return isJsonObject(value) ? value : undefined;
  } catch (error) {
    if (error instanceof JsonError) return undefined;
    throw error;
  }
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
