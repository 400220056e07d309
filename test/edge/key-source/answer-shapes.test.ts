/** What is taken for an answer of a Core: the same as by schemas that say it. */
import { describe, expect, test } from "bun:test";
import { type TSchema, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { isKeySet, isProblem, isUsageAnswer, wrongInLease } from "../../../src/edge/key-source/core/answer-shapes.ts";
import { fc } from "../../support/properties.ts";

const SECONDS = { exclusiveMinimum: 0, maximum: 86_400 * 366 };
const LEASE_VERSION = Type.Object({
  version: Type.Integer({ minimum: 1, maximum: 2 ** 32 - 1 }),
  state: Type.Union([Type.Literal("active"), Type.Literal("deprecated")]),
  enc: Type.String({ pattern: "^[A-Za-z0-9_-]{43}$" }),
  sealed: Type.String({ pattern: "^[A-Za-z0-9_-]{64}$" }),
});
const LEASE = Type.Object({
  tenant: Type.String({ maxLength: 128 }),
  service: Type.String({ maxLength: 128 }),
  ttl_seconds: Type.Number(SECONDS),
  refresh_after_seconds: Type.Number(SECONDS),
  log: Type.String({ minLength: 1, maxLength: 64, pattern: "^[A-Za-z0-9_-]+$" }),
  revocation_seq: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  versions: Type.Array(LEASE_VERSION, { minItems: 1, maxItems: 128 }),
});
const PROBLEM = Type.Object({ code: Type.String({ maxLength: 64 }), detail: Type.Optional(Type.String()) });
const KEY_SET = Type.Object({ keys: Type.Array(Type.Object({ kty: Type.String() }), { maxItems: 64 }) });
const USAGE_ANSWER = Type.Object({ accepted: Type.Number(), duplicate: Type.Boolean() });

const version = { version: 3, state: "active", enc: "e".repeat(43), sealed: "s".repeat(64) };
const lease = {
  tenant: "tenant-a",
  service: "billing",
  ttl_seconds: 300,
  refresh_after_seconds: 240.5,
  log: "log-a",
  revocation_seq: 1042,
  versions: [version, { ...version, version: 2, state: "deprecated" }],
};
const problem = { code: "key_not_found", detail: "there is no such key" };
const keySet = { keys: [{ kty: "OKP", crv: "Ed25519" }, { kty: "EC" }] };
const usageAnswer = { accepted: 7, duplicate: false };

const takesAs = (schema: TSchema, isTaken: (body: unknown) => boolean, example: object) => {
  const expected = TypeCompiler.Compile(schema);
  return { expected, isTaken, example };
};
const ANSWERS = {
  lease: takesAs(LEASE, (body) => wrongInLease(body) === undefined, lease),
  problem: takesAs(PROBLEM, isProblem, problem),
  "key set": takesAs(KEY_SET, isKeySet, keySet),
  "usage answer": takesAs(USAGE_ANSWER, isUsageAnswer, usageAnswer),
};

/** Values at both sides of each bound, and of every kind that JSON has. */
const NEAR = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, "", "active", "deprecated", {}, [], [null], [{}], ["text"]),
  fc.constantFrom(-1, -0, 0, 5e-324, 0.5, 1, 2 ** 32 - 1, 2 ** 32, 86_400 * 366, 86_400 * 366 + 1),
  fc.constantFrom(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER + 1, 1e308, Number.POSITIVE_INFINITY, Number.NaN),
  fc
    .tuple(fc.constantFrom("a", "_", "+", "é", "\n"), fc.constantFrom(1, 42, 43, 44, 63, 64, 65, 128, 129))
    .map(([character, length]) => character.repeat(length)),
  fc.constantFrom(43, 64).map((length) => `${"a".repeat(length)}\n`),
  fc.constantFrom(0, 1, 64, 65, 128, 129).map((length) => Array.from({ length }, () => version)),
  fc.constantFrom(0, 1, 64, 65, 128, 129).map((length) => Array.from({ length }, () => ({ kty: "OKP" }))),
  fc.jsonValue(),
);

type Path = readonly (string | number)[];

function pathsIn(value: unknown, path: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([key, inner]) => pathsIn(inner, [...path, key]))];
}

/** The value with another in one place; undefined: without what is there. */
function changed(value: unknown, [key, ...rest]: Path, other: unknown): unknown {
  if (key === undefined) return other;
  const copy = structuredClone(value) as Record<string, unknown>;
  if (rest.length === 0 && other === undefined) Reflect.deleteProperty(copy, key);
  else copy[key] = changed(copy[key], rest, other);
  return copy;
}

describe.each(Object.entries(ANSWERS))("a %s", (_, { expected, isTaken, example }) => {
  test("as the protocol has it is taken, with more fields too", () => {
    expect(isTaken(example)).toBe(true);
    expect(isTaken({ ...example, more: [1] })).toBe(true);
    expect(expected.Check(example)).toBe(true);
  });

  test("is what its schema says, whatever stands in up to two of its places", () => {
    const change = fc.tuple(fc.constantFrom(...pathsIn(example)), fc.oneof(fc.constant(undefined), NEAR));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 2 }), (changes) => {
        let body: unknown = example;
        for (const [path, other] of changes) {
          if (pathsIn(body).some((known) => known.join() === path.join())) body = changed(body, path, other);
        }
        expect(isTaken(body)).toBe(expected.Check(body));
      }),
      { numRuns: 3_000 },
    );
  });

  test("is no value that is no object", () => {
    for (const body of [undefined, null, "", 7, true, [], [example]]) expect(isTaken(body)).toBe(false);
  });
});

test("of a lease that is wrong the first wrong field is named, as the schema would name it", () => {
  const schema = TypeCompiler.Compile(LEASE);
  for (const path of pathsIn(lease)) {
    const body = changed(lease, path, null);
    expect(wrongInLease(body)).toBe(schema.Errors(body).First()!.path);
  }
});
