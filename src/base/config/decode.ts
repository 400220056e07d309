/**
 * Checks a value against its schema and turns it into the program's own types, telling every mistake at once: where, what
 * was expected, and the nearest valid name.
 */
import { resolve } from "node:path";
import type { TSchema } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { messageOf } from "../errors.ts";
import type { ConfigurationPath } from "./configuration-error.ts";
import { FileSecret, placeSecret } from "./file-secret.ts";
import { decodingOf, expectedBy, type FileOwner, type HostAndPort } from "./schema-types.ts";

export interface ConfigurationProblem {
  readonly path: ConfigurationPath;
  /** Says what is wrong, what was expected, and what to do. */
  readonly message: string;
}

export interface DecodingEnvironment {
  /** Where relative paths start. */
  readonly directory: string;
  /** Gets each secret of a file, to be followed. */
  readonly secrets?: FileSecret[];
}

/** Decodes `value`, adding to `problems`. The result means something only when nothing was added. */
export function decodeConfiguration(
  schema: TSchema,
  value: unknown,
  environment: DecodingEnvironment,
  problems: ConfigurationProblem[],
  path: ConfigurationPath = [],
): unknown {
  const decode = (inner: TSchema, innerValue: unknown, key: string | number): unknown =>
    decodeConfiguration(inner, innerValue, environment, problems, [...path, key]);
  const wrong = (): undefined => {
    problems.push({ path, message: `expected ${expectedBy(schema)}, found ${describe(value)}` });
    return undefined;
  };

  if (Array.isArray(schema.anyOf)) {
    const variant = chooseVariant(schema.anyOf as TSchema[], value);
    return variant === undefined ? wrong() : decodeConfiguration(variant, value, environment, problems, path);
  }

  if (schema.type === "object") {
    if (!isRecord(value)) return wrong();
    if (schema.properties === undefined) {
      for (const key of Object.keys(value)) {
        const problem = keyProblem(schema, key);
        if (problem !== undefined) problems.push({ path: [...path, key], message: problem });
      }
      return decodeRecord(schema, value, decode);
    }
    const properties = schema.properties as Record<string, TSchema>;
    const result: Record<string, unknown> = {};
    for (const key of Object.keys(value)) {
      if (Object.hasOwn(properties, key)) continue;
      problems.push({ path: [...path, key], message: unknownKey(key, Object.keys(properties)) });
    }
    for (const [key, inner] of Object.entries(properties)) {
      const given = Object.hasOwn(value, key) && value[key] !== null ? value[key] : inner.default;
      if (given !== undefined) place(result, key, decode(inner, given, key));
      else if ((schema.required as string[] | undefined)?.includes(key)) {
        problems.push({ path, message: `"${key}" is missing: give it ${expectedBy(inner)}` });
      }
    }
    return result;
  }

  if (schema.type === "array") {
    if (!Array.isArray(value)) return wrong();
    if (value.length < ((schema.minItems as number | undefined) ?? 0)) {
      problems.push({ path, message: `the list is empty: give at least ${schema.minItems} entry` });
    }
    const items: unknown[] = [];
    for (const [index, item] of value.entries()) place(items, index, decode(schema.items as TSchema, item, index));
    return items;
  }

  if (!Value.Check(schema, value)) return wrong();
  try {
    return decodeText(schema, value, environment, path);
  } catch (error) {
    problems.push({ path, message: messageOf(error) });
    return undefined;
  }
}

function decodeRecord(
  schema: TSchema,
  value: Record<string, unknown>,
  decode: (inner: TSchema, innerValue: unknown, key: string) => unknown,
): unknown {
  const patterns = Object.values((schema.patternProperties ?? {}) as Record<string, TSchema>);
  const inner = patterns[0];
  if (inner === undefined) return value;
  const result: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) place(result, key, decode(inner, item, key));
  return result;
}

/** As a property of its own, whatever its name is. */
function place(section: object, key: string | number, value: unknown): void {
  if (value instanceof FileSecret) placeSecret(section, key, value);
  else Object.defineProperty(section, key, { value, enumerable: true, configurable: true, writable: true });
}

/** Of a section whose keys are the user's own: they have a form. */
function keyProblem(schema: TSchema, key: string): string | undefined {
  const patterns = Object.keys((schema.patternProperties ?? {}) as object);
  if (patterns.length === 0 || patterns.some((pattern) => new RegExp(pattern).test(key))) return undefined;
  const { expectedKey = "another form" } = schema as { expectedKey?: string };
  return `a key here is ${expectedKey}`;
}

function decodeText(
  schema: TSchema,
  value: unknown,
  { directory, secrets }: DecodingEnvironment,
  path: ConfigurationPath,
): unknown {
  const text = value as string;
  switch (decodingOf(schema)) {
    case "duration":
      return decodeDuration(schema, text);
    case "size":
      return decodeSize(schema, text);
    case "path":
      return resolve(directory, text);
    case "secret": {
      if (!text.startsWith("file:")) return text;
      const secret = new FileSecret(path, resolve(directory, text.slice(5)));
      secrets?.push(secret);
      return secret;
    }
    case "address":
      return decodeAddress(text);
    case "owner":
      return decodeOwner(text);
    case undefined:
      return value;
  }
}

/** The runtime's timers have 31 bits: one that is set for longer fires at once. */
const TIMER_MS_MAX = 24 * 86_400_000;

function longest(ms: number): string {
  return ms % 86_400_000 === 0 ? `${ms / 86_400_000}d` : `${ms / 60_000}m`;
}

function decodeDuration(schema: TSchema, text: string): number {
  const ms = decodeUnit(text, { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 });
  const { minimumMs, maximumMs = TIMER_MS_MAX } = schema as { minimumMs?: number; maximumMs?: number };
  if (minimumMs !== undefined && ms < minimumMs) throw new Error(`${text} is too short: at least ${minimumMs} ms`);
  if (ms > maximumMs) throw new Error(`${text} is too long: at most ${longest(maximumMs)}`);
  return ms;
}

function decodeSize(schema: TSchema, text: string): number {
  const bytes = decodeUnit(text, { "": 1, B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 });
  const { minimumBytes = 0, maximumBytes = Number.MAX_SAFE_INTEGER } = schema as {
    minimumBytes?: number;
    maximumBytes?: number;
  };
  if (bytes < minimumBytes) throw new Error(`${text} is too small: at least ${minimumBytes} bytes`);
  if (bytes > maximumBytes) throw new Error(`${text} is too large: at most ${maximumBytes / 2 ** 20}MiB`);
  return bytes;
}

function decodeUnit(text: string, units: Record<string, number>): number {
  const [, number = "", unit = ""] = /^([0-9]+)([A-Za-z]*)$/.exec(text) ?? [];
  const result = Number(number) * (units[unit] ?? Number.NaN);
  if (!Number.isSafeInteger(result)) throw new Error(`${text} is too large`);
  return result;
}

function decodeAddress(text: string): HostAndPort {
  const colon = text.lastIndexOf(":");
  const port = Number(text.slice(colon + 1));
  if (port > 65_535) throw new Error(`the port ${port} is too large: at most 65535`);
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ""), port };
}

/** The system's numbers have 32 bits, of which the last means "as it is". */
const OWNER_ID_MAX = 2 ** 32 - 2;

function decodeOwner(text: string): FileOwner {
  const [user = -1, group = -1] = text.split(":").map((id) => (id === "" ? -1 : Number(id)));
  for (const id of [user, group]) {
    if (id > OWNER_ID_MAX) throw new Error(`the id ${id} is too large: at most ${OWNER_ID_MAX}`);
  }
  return { user, group };
}

/** Of several shapes, the one whose check passes, else the object that shares most keys, so that its own mistakes are told. */
function chooseVariant(variants: readonly TSchema[], value: unknown): TSchema | undefined {
  const passing = variants.find(
    (variant) => variant.type !== "object" && variant.type !== "array" && Value.Check(variant, value),
  );
  if (passing !== undefined) return passing;
  if (Array.isArray(value)) return variants.find((variant) => variant.type === "array");
  if (!isRecord(value)) return undefined;
  let best: TSchema | undefined;
  let bestShared = -1;
  for (const variant of variants) {
    if (variant.type !== "object") continue;
    const keys = Object.keys((variant.properties ?? {}) as object);
    const shared = Object.keys(value).reduce((sum, key) => {
      if (keys.includes(key)) return sum + 1;
      return sum + (nearestName(key, keys) === undefined ? 0 : 0.5);
    }, 0);
    if (shared > bestShared) [best, bestShared] = [variant, shared];
  }
  return best;
}

function unknownKey(key: string, known: readonly string[]): string {
  const nearest = nearestName(key, known);
  return nearest === undefined
    ? `unknown key "${key}"; known here: ${known.join(", ")}`
    : `unknown key "${key}"; did you mean "${nearest}"?`;
}

/** The known name at the smallest edit distance, if it is near enough to be meant. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}

/** What was found, in words; long text is not repeated (it could be a secret in the wrong place). */
function describe(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a section";
  if (typeof value === "string")
    return value.length > 40 ? `text of ${value.length} characters` : JSON.stringify(value);
  return String(value);
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
