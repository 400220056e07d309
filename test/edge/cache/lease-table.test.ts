import { describe, expect, test } from "bun:test";
import { HeldVersion, type Lease } from "../../../src/edge/cache/lease.ts";
import { LeaseTable } from "../../../src/edge/cache/lease-table.ts";

function hold(lease: Lease): void {
  const identity = { tenant: lease.tenant, service: lease.service, version: 1 };
  lease.versions = [new HeldVersion(identity, "active", undefined as never, { release() {} } as never)];
}

describe("a lease that is neither held nor being fetched", () => {
  test("is forgotten with all that was made for it, and may be forgotten twice", () => {
    const table = new LeaseTable();
    const lease = table.onService("t", "a");
    const other = table.onService("t", "b");
    for (let times = 0; times < 2; times++) {
      table.forgetIfEmpty(lease);
      expect([table.find("t", "a"), table.find("t", "b")]).toEqual([undefined, other]);
    }
    for (let times = 0; times < 2; times++) {
      table.forgetIfEmpty(other);
      expect(table.tenants.size).toBe(0);
    }
  });

  test("on a version takes the one on its service with it, if nothing else needs that", () => {
    const table = new LeaseTable();
    const [one, two] = [table.onVersion("t", "a", 1), table.onVersion("t", "a", 2)];
    table.forgetIfEmpty(table.find("t", "a")!);
    table.forgetIfEmpty(one!);
    expect([...table.find("t", "a")!.singleVersionLeases!.keys()]).toEqual([2]);
    table.forgetIfEmpty(two!);
    expect(table.tenants.size).toBe(0);

    const whole = table.onService("t", "a");
    hold(whole);
    table.forgetIfEmpty(table.onVersion("t", "a", 1));
    expect(table.find("t", "a")).toBe(whole);
    expect(whole.singleVersionLeases!.size).toBe(0);
  });

  test("is not taken for the one that is known by its name now", () => {
    const table = new LeaseTable();
    const former = [table.onService("t", "a"), table.onVersion("t", "b", 1)];
    for (const lease of former) table.forgetIfEmpty(lease);
    const now = [table.onService("t", "a"), table.onVersion("t", "b", 1)];
    for (const lease of former) table.forgetIfEmpty(lease);
    expect([table.onService("t", "a"), table.onVersion("t", "b", 1)]).toEqual(now);
    expect(table.onService("t", "a")).toBe(now[0]!);
    expect(table.onVersion("t", "b", 1)).toBe(now[1]!);
  });
});

test("a lease that is held, or being fetched, is kept", () => {
  const table = new LeaseTable();
  const held = table.onService("t", "a");
  hold(held);
  const fetched = table.onVersion("t", "b", 1);
  fetched.fetch = { promise: Promise.resolve(), demanded: false, again: false };
  for (const lease of [held, fetched]) table.forgetIfEmpty(lease);
  expect([table.find("t", "a"), table.onVersion("t", "b", 1)]).toEqual([held, fetched]);
});
