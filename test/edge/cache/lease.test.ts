import { describe, expect, test } from "bun:test";
import { HeldVersion, Lease, WHOLE_SERVICE } from "../../../src/edge/cache/lease.ts";
import type { LeasableState } from "../../../src/edge/key-source/key-source.ts";
import { nodeCipher } from "../../support/ciphers.ts";
import { CountedKeyMemory, keyOf } from "./world.ts";

function holding() {
  const memory = new CountedKeyMemory();
  const lease = new Lease("t", "a", WHOLE_SERVICE);
  const held = (version: number, state: LeasableState) =>
    new HeldVersion({ tenant: "t", service: "a", version }, state, nodeCipher(), memory.store(keyOf(version)));
  const [active, deprecated] = [held(2, "active"), held(1, "deprecated")];
  lease.versions = [active, deprecated];
  lease.active = active;
  return { memory, lease, active, deprecated };
}

test("a new lease holds nothing, has failed at nothing, and waits in no heap", () => {
  expect(new Lease("t", "a", WHOLE_SERVICE)).toMatchObject({
    held: false,
    failures: 0,
    heapIndex: -1,
    active: undefined,
  });
});

test("a version is held in the state that it was granted in", () => {
  const { active, deprecated } = holding();
  expect([active.state, deprecated.state]).toEqual(["active", "deprecated"]);
});

describe("wiping", () => {
  test("a version that may not wrap leaves the one that does; wiping that leaves none", () => {
    const { memory, lease, active } = holding();
    expect(lease.wipeVersion(1)).toBe(true);
    expect([lease.active, lease.versions, memory.slots.size]).toEqual([active, [active], 1]);
    expect(lease.wipeVersion(2)).toBe(true);
    expect([lease.active, lease.held, memory.slots.size]).toEqual([undefined, false, 0]);
  });

  test("a version that is not held says so, and touches nothing", () => {
    const { memory, lease } = holding();
    expect(lease.wipeVersion(9)).toBe(false);
    expect([lease.versions.length, memory.slots.size]).toEqual([2, 2]);
  });

  test("everything says how much it was", () => {
    const { memory, lease } = holding();
    expect([lease.wipe(), lease.active, lease.held, memory.slots.size]).toEqual([2, undefined, false, 0]);
    expect(lease.wipe()).toBe(0);
  });

  test("ends the session that was begun, and lets none begin: who waited for it may ask again at once", () => {
    const { active } = holding();
    expect(active.wasUsed).toBe(false);
    const { session } = active;
    expect([active.wasUsed, active.session]).toEqual([true, session]);
    active.wipe();
    expect(active.wasUsed).toBe(false);
    expect(() => session.wrap(keyOf(9), new Uint8Array(0))).toThrow("wiped");
    let error: unknown;
    try {
      void active.session;
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: "lease_unavailable", retryAfterMs: 0 });
  });
});
