/** What is taken for an event of the Core, and what is not. */
import { describe, expect, test } from "bun:test";
import { claimOf, JWS_MAX_LENGTH, parseRevocationEvent } from "../../../src/edge/revocation/event-format.ts";

const BASE = { log: "log-a", seq: 7, at: "2026-01-01T00:00:00Z" };
const REVOKE = { type: "revoke", ...BASE, tenant: "t", service: "s", version: 3, state: "compromised", reason: "why" };
const RESTORE = { type: "restore", ...BASE, tenant: "t", service: "s", version: 3 };
const ROTATE = { type: "rotate", ...BASE, tenant: "t", service: "s", version: 3 };
const HEARTBEAT = { type: "heartbeat", ...BASE };
const RESET = { type: "reset", ...BASE, reason: "not retained" };

describe("an event", () => {
  test.each([REVOKE, { ...REVOKE, state: "destroyed" }, RESTORE, ROTATE, HEARTBEAT, RESET])(
    "is read as it is: %j",
    (event) => {
      expect(parseRevocationEvent(event)).toStrictEqual(event as never);
      expect(parseRevocationEvent({ ...event, more: 1 })).toStrictEqual(event as never);
    },
  );

  test("of a tenant, or of a service, names no more than that; null is as good as nothing", () => {
    const { service, version, ...whole } = RESTORE;
    expect(parseRevocationEvent(whole)).toStrictEqual(whole as never);
    expect(parseRevocationEvent({ ...whole, service: null, version: null })).toStrictEqual(whole as never);
    expect(parseRevocationEvent({ ...whole, service })).toStrictEqual({ ...whole, service } as never);
    expect(parseRevocationEvent({ ...whole, service, version: null })).toStrictEqual({ ...whole, service } as never);
    for (const alone of [{ version }, { service: null, version }])
      expect(() => parseRevocationEvent({ ...whole, ...alone })).toThrow("version without a service");
  });

  test("gives a reason of 1,024 characters at most; one that is no text is none", () => {
    const reasonOf = (reason: unknown) => (parseRevocationEvent({ ...REVOKE, reason }) as { reason: string }).reason;
    expect([reasonOf("x".repeat(5_000)).length, reasonOf(7), reasonOf(undefined)]).toEqual([1_024, "", ""]);
  });

  test("a heartbeat and a reset may come before the first event; no event has the number 0", () => {
    for (const event of [HEARTBEAT, RESET]) expect(parseRevocationEvent({ ...event, seq: 0 }).seq).toBe(0);
    for (const event of [REVOKE, RESTORE, ROTATE]) {
      expect(parseRevocationEvent({ ...event, seq: 1 }).seq).toBe(1);
      expect(() => parseRevocationEvent({ ...event, seq: 0 })).toThrow("seq");
    }
  });

  const longTime = (length: number): string => `2026-01-01T00:00:00.${"0".repeat(length - 21)}Z`;
  const wrong: [string, string, unknown[]][] = [
    ["log", "log", [undefined, 7, "", "a b", "x".repeat(65)]],
    ["seq", "seq", [undefined, "7", -1, 1.5, Number.NaN, 2 ** 53]],
    ["at", "at", [undefined, 7, "soon", "yesterday Z", "2026-01-01T00:00:00", longTime(41)]],
    ["tenant", "tenant", [undefined, 7, "", "a/b"]],
    ["service", "service", [7, "", "a/b"]],
    ["version", "version", [0, -1, 1.5, "3", 2 ** 32]],
    ["state", "state", [undefined, "active", 7]],
    ["type", "type", [undefined, "toString", 7]],
  ];
  test.each(wrong)("whose %s is wrong is refused by that name", (field, named, values) => {
    for (const value of values) expect(() => parseRevocationEvent({ ...REVOKE, [field]: value })).toThrow(named);
  });

  test("is refused where a field is at its limit plus one, and read at its limit", () => {
    const most = {
      ...REVOKE,
      log: "x".repeat(64),
      seq: Number.MAX_SAFE_INTEGER,
      version: 2 ** 32 - 1,
      at: longTime(40),
    };
    expect(parseRevocationEvent(most)).toStrictEqual(most as never);
    for (const tooMuch of [{ log: "x".repeat(65) }, { seq: 2 ** 53 }, { version: 2 ** 32 }, { at: longTime(41) }])
      expect(() => parseRevocationEvent({ ...most, ...tooMuch })).toThrow();
    expect(parseRevocationEvent({ ...REVOKE, version: 1 })).toMatchObject({ version: 1 });
  });

  test("of a rotation names tenant, service and version", () => {
    for (const field of ["tenant", "service", "version"])
      expect(() => parseRevocationEvent({ ...ROTATE, [field]: undefined })).toThrow(field);
  });

  test("is an object", () => {
    for (const value of [undefined, null, 7, "revoke", true])
      expect(() => parseRevocationEvent(value)).toThrow("an event is an object");
  });
});

describe("the place that a signed event claims", () => {
  const jws = (payload: unknown): string => `h.${Buffer.from(JSON.stringify(payload)).toString("base64url")}.s`;

  test("is read without a look at the signature", () => {
    expect(claimOf(jws(REVOKE))).toEqual({ log: "log-a", seq: 7 });
  });

  test("is none of a heartbeat, a reset, or what can't be read", () => {
    const without = [HEARTBEAT, RESET, { ...REVOKE, log: 7 }, { ...REVOKE, seq: "7" }, null].map(jws);
    for (const text of [...without, "", "x", "a.b.c", "a..c"]) expect(claimOf(text)).toBeUndefined();
  });

  test("is looked for in no more than an event can be long", () => {
    const padded = (length: number): string => {
      const text = jws(REVOKE);
      return text + "x".repeat(length - text.length);
    };
    expect(JWS_MAX_LENGTH).toBe(16_384);
    expect([claimOf(padded(16_384)), claimOf(padded(16_385))]).toEqual([{ log: "log-a", seq: 7 }, undefined]);
  });
});
