import { describe, expect, test } from "bun:test";
import type { Principal } from "../../../src/edge/access/principal.ts";
import { type CountRecord, MERGED, UsageCounters } from "../../../src/edge/usage/usage-counters.ts";
import { fc } from "../../support/properties.ts";

const alice: Principal = { kind: "listener", name: "alice" };
const bob: Principal = { kind: "spiffe", name: "spiffe://example.org/bob" };

const total = (records: readonly CountRecord[]): number => records.reduce((sum, record) => sum + record.count, 0);

describe("usage counts", () => {
  test("are merged per tenant, service, version, operation, outcome and principal", () => {
    const counters = new UsageCounters({ maxRows: 10, maxPrincipals: 4 });
    counters.add(alice, "create", "ok", "tenant-a", "billing", 2, 1);
    counters.add({ ...alice }, "create", "ok", "tenant-a", "billing", 2, 5);
    counters.add(alice, "create", "access_denied", "tenant-a", "billing", 0, 1);
    counters.add(alice, "decrypt", "ok", "tenant-a", "billing", 1, 1);
    counters.add(bob, "create", "ok", "tenant-a", "billing", 2, 1);

    const records = counters.drain(Date.UTC(2026, 0, 1), Date.UTC(2026, 0, 1, 0, 0, 10));
    expect(records).toHaveLength(4);
    expect(records).toContainEqual({
      tenant: "tenant-a",
      service: "billing",
      version: 2,
      operation: "create",
      outcome: "ok",
      principal: "alice",
      count: 6,
      from: "2026-01-01T00:00:00.000Z",
      to: "2026-01-01T00:00:10.000Z",
    });
    expect(counters.drain(0, 1)).toEqual([]);
  });

  test("are never lost, however many names callers make up, and what is kept stays bounded", () => {
    const operations = ["create", "decrypt", "rewrap"] as const;
    const outcomes = ["ok", "access_denied", "internal_error"] as const;
    const call = fc.record({
      principal: fc.integer({ min: 0, max: 6 }),
      tenant: fc.integer({ min: 0, max: 40 }),
      version: fc.integer({ min: 0, max: 3 }),
      operation: fc.constantFrom(...operations),
      outcome: fc.constantFrom(...outcomes),
      count: fc.integer({ min: 1, max: 100 }),
      drain: fc.integer({ min: 0, max: 9 }).map((value) => value === 0),
    });
    fc.assert(
      fc.property(fc.array(call, { maxLength: 300 }), (calls) => {
        const counters = new UsageCounters({ maxRows: 8, maxPrincipals: 3 });
        const drained: CountRecord[] = [];
        for (const { principal, tenant, version, operation, outcome, count, drain } of calls) {
          const caller: Principal = { kind: "listener", name: `p${principal}` };
          counters.add(caller, operation, outcome, `t${tenant}`, "s", version, count);
          expect(counters.rows).toBeLessThanOrEqual(8);
          if (drain) drained.push(...counters.drain(0, 1));
        }
        drained.push(...counters.drain(0, 1));
        for (const operation of operations) {
          for (const outcome of outcomes) {
            const matches = (entry: { operation: string; outcome: string }): boolean =>
              entry.operation === operation && entry.outcome === outcome;
            const expected = calls.filter(matches).reduce((sum, { count }) => sum + count, 0);
            expect(total(drained.filter(matches))).toBe(expected);
          }
        }
      }),
    );
  });

  test("of one principal stay apart while another floods the counters with made-up tenants", () => {
    const counters = new UsageCounters({ maxRows: 100, maxPrincipals: 4 });
    for (let index = 0; index < 10; index++) counters.add(bob, "create", "ok", `tenant-${index}`, "billing", 1, 1);
    for (let index = 0; index < 10_000; index++) {
      counters.add(alice, "create", "access_denied", `flood-${index}`, "billing", 0, 1);
    }
    const records = counters.drain(0, 1);
    expect(records.filter(({ principal }) => principal === bob.name)).toHaveLength(10);
    const merged = records.find(({ principal, tenant }) => principal === "alice" && tenant === MERGED);
    expect(merged?.count).toBe(10_000 - 90);
    expect(counters.mergedRows).toBe(10_000 - 90);
  });

  test("give back the rows of what is no longer used", () => {
    const counters = new UsageCounters({ maxRows: 50, maxPrincipals: 10 });
    for (let round = 0; round < 100; round++) {
      for (let index = 0; index < 5; index++) {
        const caller: Principal = { kind: "dns", name: `host-${round}` };
        counters.add(caller, "decrypt", "ok", `tenant-${round}-${index}`, "billing", 1, 1);
      }
      expect(total(counters.drain(0, 1))).toBe(5);
    }
    counters.drain(0, 1);
    expect(counters.rows).toBe(0);
    expect(counters.mergedRows).toBe(0);
  });
});
