/**
 * What a Core's answers must hold (core-protocol.md), by code of a few functions: an edge holds it for as long as it runs, and a library of
 * schemas would be as much as its own way of a request. Fields beside those named here are allowed.
 */
import type { JSONWebKeySet } from "jose";

export interface Problem {
  readonly code: string;
  readonly detail?: string;
}

export interface UsageAnswer {
  readonly accepted: number;
  readonly duplicate: boolean;
}

export interface SealedVersion {
  readonly version: number;
  readonly state: "active" | "deprecated";
  /** base64url of 32 bytes. */
  readonly enc: string;
  /** base64url of 32 bytes and a tag of 16. */
  readonly sealed: string;
}

export interface LeaseAnswer {
  readonly tenant: string;
  readonly service: string;
  readonly ttl_seconds: number;
  readonly refresh_after_seconds: number;
  readonly log: string;
  readonly revocation_seq: number;
  readonly versions: readonly SealedVersion[];
}

type Check = (value: unknown) => boolean;
/** A list, made once: an answer is checked without one made of it. */
type Fields = readonly (readonly [name: string, check: Check])[];

const CODE_MAX_LENGTH = 64;
const KEYS_MAX = 64;
const NAME_MAX_LENGTH = 128;
const VERSIONS_MAX = 128;
const SECONDS_MAX = 86_400 * 366;

const isText: Check = (value) => typeof value === "string";
const isTextUpTo =
  (lengthMax: number): Check =>
  (value) =>
    typeof value === "string" && value.length <= lengthMax;
const isTextOf =
  (pattern: RegExp): Check =>
  (value) =>
    typeof value === "string" && pattern.test(value);
const isDuration: Check = (value) => typeof value === "number" && value > 0 && value <= SECONDS_MAX;
const isIntegerFrom =
  (least: number, most: number): Check =>
  (value) =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
const isListOf =
  (least: number, most: number): Check =>
  (value) =>
    Array.isArray(value) && value.length >= least && value.length <= most;

const PROBLEM = fieldsOf({
  code: isTextUpTo(CODE_MAX_LENGTH),
  detail: (value) => value === undefined || isText(value),
});
const KEY_SET = fieldsOf({ keys: isListOf(0, KEYS_MAX) });
const KEY = fieldsOf({ kty: isText });
const USAGE_ANSWER = fieldsOf({ accepted: Number.isFinite, duplicate: (value) => typeof value === "boolean" });
const LEASE = fieldsOf({
  tenant: isTextUpTo(NAME_MAX_LENGTH),
  service: isTextUpTo(NAME_MAX_LENGTH),
  ttl_seconds: isDuration,
  refresh_after_seconds: isDuration,
  log: isTextOf(/^[A-Za-z0-9_-]{1,64}$/),
  revocation_seq: isIntegerFrom(0, Number.MAX_SAFE_INTEGER),
  versions: isListOf(1, VERSIONS_MAX),
});
const SEALED_VERSION = fieldsOf({
  version: isIntegerFrom(1, 2 ** 32 - 1),
  state: (value) => value === "active" || value === "deprecated",
  enc: isTextOf(/^[A-Za-z0-9_-]{43}$/),
  sealed: isTextOf(/^[A-Za-z0-9_-]{64}$/),
});

function fieldsOf(checks: Readonly<Record<string, Check>>): Fields {
  return Object.entries(checks);
}

export function isProblem(body: unknown): body is Problem {
  return wrongIn(body, PROBLEM) === undefined;
}

/** Whether it is a set of at most 64 keys; what each is for, its reader says. */
export function isKeySet(body: unknown): body is JSONWebKeySet {
  return wrongIn(body, KEY_SET) === undefined && wrongInEach((body as JSONWebKeySet).keys, KEY) === undefined;
}

export function isUsageAnswer(body: unknown): body is UsageAnswer {
  return wrongIn(body, USAGE_ANSWER) === undefined;
}

/** Where a body is no `LeaseAnswer`, as a JSON pointer to the first field that is wrong; undefined for one that is. */
export function wrongInLease(body: unknown): string | undefined {
  const wrong = wrongIn(body, LEASE);
  if (wrong !== undefined) return wrong;
  const inVersion = wrongInEach((body as LeaseAnswer).versions, SEALED_VERSION);
  return inVersion === undefined ? undefined : `/versions${inVersion}`;
}

function wrongInEach(list: readonly unknown[], fields: Fields): string | undefined {
  for (let index = 0; index < list.length; index++) {
    const wrong = wrongIn(list[index], fields);
    if (wrong !== undefined) return `/${index}${wrong}`;
  }
  return undefined;
}

/** "" where it is no object at all. */
function wrongIn(value: unknown, fields: Fields): string | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "";
  for (const [name, check] of fields) {
    if (!check((value as Readonly<Record<string, unknown>>)[name])) return `/${name}`;
  }
  return undefined;
}
