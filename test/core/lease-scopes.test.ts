import { expect, test } from "bun:test";
import { LeaseScopes, mayHold, scopeHash } from "../../src/core/lease-scopes.ts";

const LEASE_MS = 1_000;
const HASH = scopeHash({ tenant: "tenant-a", service: "billing" });

test("a scope may be held for as long as a lease after it was asked for, and its tenant's with it; no other", () => {
  const scopes = new LeaseScopes(LEASE_MS);
  expect(mayHold(scopes.told(0), HASH)).toBe(false);
  scopes.note("tenant-a", "billing", 100);
  expect(mayHold(scopes.told(1_099), HASH)).toBe(true);
  expect(mayHold(scopes.told(1_099), scopeHash({ tenant: "tenant-a" }))).toBe(true);
  for (const other of [{ tenant: "tenant-b" }, { tenant: "tenant-a", service: "payroll" }, { tenant: "billing" }]) {
    expect(mayHold(scopes.told(1_099), scopeHash(other))).toBe(false);
  }
  expect(mayHold(scopes.told(1_100), HASH)).toBe(false);
});

test("who asks for more than is remembered may hold anything, for as long as a lease", () => {
  const scopes = new LeaseScopes(LEASE_MS);
  for (let index = 0; index < 5_000; index++) scopes.note("tenant-a", `service-${index}`, 100);
  expect(scopes.told(1_099)).toBeUndefined();
  expect(mayHold(undefined, HASH)).toBe(true);
  expect(scopes.told(1_100)).toBe("");
});

test("what was told before a restart counts from then, and what was not known is anything", () => {
  const before = new LeaseScopes(LEASE_MS);
  before.note("tenant-a", "billing", 100);
  const after = new LeaseScopes(LEASE_MS);
  after.recall(before.told(500), 500);
  expect(mayHold(after.told(1_499), HASH)).toBe(true);
  expect(mayHold(after.told(1_499), scopeHash({ tenant: "tenant-b" }))).toBe(false);
  expect(mayHold(after.told(1_500), HASH)).toBe(false);
  after.recall(undefined, 2_000);
  expect([after.told(2_999), after.told(3_000)]).toEqual([undefined, ""]);
});
