/** Bodies of protocols that speak JSON: an object, whose members each operation reads by itself. */
import { hasTooManyValues, JsonError, parseJson } from "../../base/json/parse.ts";
import { type ObjectLimits, readJsonObject } from "../../base/json/read-list.ts";
import { turnFor, yieldToEventLoop } from "../../base/time/turns.ts";
import type { MaybePromise } from "../operations/operations.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * The object that the body holds, read as strictly as everywhere: UTF-8, no member twice. Undefined for anything else, and for one of more
 * members and items than are read in one turn of the event loop.
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

/** One up to this is read at once, where it has not too many values for it. */
export const SHORT_BODY_BYTES_MAX = 65_536;

export interface BodyReading {
  /** Of a longer one. */
  readonly limits: ObjectLimits;
  /** The door's error for a body that is no such object. */
  readonly notObject: (reason: string) => Error;
}

/**
 * The object that a body is; a long one is read in turns with other callers' requests.
 *
 * @throws (or rejects with) what `notObject` gives
 */
export function readJsonBody(body: Uint8Array, reading: BodyReading): MaybePromise<JsonObject> {
  if (body.length > SHORT_BODY_BYTES_MAX || hasTooManyValues(body)) return readLongBody(body, reading);
  const object = parseJsonObject(body);
  if (object === undefined) throw reading.notObject("it is not a JSON object, in UTF-8 and without a member twice");
  return object;
}

async function readLongBody(body: Uint8Array, { limits, notObject }: BodyReading): Promise<JsonObject> {
  await turnFor(1);
  try {
    return await readJsonObject(body, limits, yieldToEventLoop);
  } catch (error) {
    throw error instanceof JsonError ? notObject(error.message) : error;
  }
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
