import { expect, test } from "bun:test";
import { HeldLeases, mayHold, scopeHash, toldLease } from "../../src/core/held-leases.ts";

const LEASE_MS = 1_000;
const HASH = scopeHash({ tenant: "tenant-a", service: "billing" });

test("a scope may be held for as long as a lease after it was asked for, and its tenant's with it; no other", () => {
  const leases = new HeldLeases(LEASE_MS);
  expect(mayHold(leases.told(0), HASH)).toBe(false);
  leases.asks("tenant-a", "billing", 100);
  expect(mayHold(leases.told(1_099), HASH)).toBe(true);
  expect(mayHold(leases.told(1_099), scopeHash({ tenant: "tenant-a" }))).toBe(true);
  for (const other of [{ tenant: "tenant-b" }, { tenant: "tenant-a", service: "payroll" }, { tenant: "billing" }]) {
    expect(mayHold(leases.told(1_099), scopeHash(other))).toBe(false);
  }
  expect(mayHold(leases.told(1_100), HASH)).toBe(false);
});

test("who asks for more than is remembered may hold anything, for as long as a lease", () => {
  const leases = new HeldLeases(LEASE_MS);
  for (let index = 0; index < 5_000; index++) leases.asks("tenant-a", `service-${index}`, 100);
  expect(leases.told(1_099)).toBeUndefined();
  expect(mayHold(undefined, HASH)).toBe(true);
  expect(leases.told(1_100)).toBe("");
});

test("what was told before a restart counts from then, and what was not known is anything", () => {
  const before = new HeldLeases(LEASE_MS);
  before.asks("tenant-a", "billing", 100);
  const after = new HeldLeases(LEASE_MS);
  after.recall(before.told(500), 500);
  expect(mayHold(after.told(1_499), HASH)).toBe(true);
  expect(mayHold(after.told(1_499), scopeHash({ tenant: "tenant-b" }))).toBe(false);
  expect(mayHold(after.told(1_500), HASH)).toBe(false);
  after.recall(undefined, 2_000);
  expect([after.told(2_999), after.told(3_000)]).toEqual([undefined, ""]);
});

test("the versions of a lease are told until it is over: the newest lease's, with old ones that came alone", () => {
  const leases = new HeldLeases(LEASE_MS);
  const asked = leases.asks("tenant-a", "billing", 0);
  expect(toldLease(leases.told(0)!, HASH)).toEqual({ grantedMs: 0, versions: [] });
  leases.granted(asked, [40, 39, 38], false, 2_000);
  leases.granted(leases.asks("tenant-a", "billing", 2_100), [9], true, 2_100);
  expect(toldLease(leases.told(2_200)!, HASH)).toEqual({ grantedMs: 2_000, versions: [40, 39, 38, 9] });
  leases.granted(leases.asks("tenant-a", "billing", 2_200), [41, 40, 39], false, 2_200);
  expect(toldLease(leases.told(2_200)!, HASH)?.versions).toEqual([41, 40, 39]);
  // Of the tenant those of all its services; what is too old for the newest is left out.
  leases.granted(leases.asks("tenant-a", "payroll", 2_300), [1], false, 2_300);
  expect(toldLease(leases.told(2_300)!, scopeHash({ tenant: "tenant-a" }))?.versions).toEqual([41, 40, 39, 38]);
  const after = new HeldLeases(LEASE_MS);
  after.recall(leases.told(2_300), 2_300);
  expect(after.told(2_300)).toBe(leases.told(2_300)!);
  leases.granted(leases.asks("tenant-a", "billing", 9_000), [42], true, 9_000);
  expect(toldLease(leases.told(9_000)!, scopeHash({ tenant: "tenant-a" }))?.versions).toEqual([42]);
});
