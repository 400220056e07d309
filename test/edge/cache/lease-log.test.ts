import { expect, test } from "bun:test";
import type { LeaseEvent } from "../../../src/edge/cache/lease-events.ts";
import { createLeaseLog } from "../../../src/edge/cache/lease-log.ts";

const NAME = { tenant: "tenant-a", service: "billing", version: undefined };

function circuit(state: "open" | "half_open" | "closed"): LeaseEvent {
  return { type: "circuit", state, reason: "refused", retryAfterMs: 0 };
}

function linesOf(events: readonly LeaseEvent[]): string[] {
  const lines: string[] = [];
  const line = (level: string) => (_: object, message: string) => void lines.push(`${level}: ${message}`);
  const tell = createLeaseLog({ debug: line("debug"), info: line("info"), warn: line("warn") });
  for (const event of events) tell(event);
  return lines;
}

test("an outage is told once when it begins and once when it ends, and its tries to who looks closely", () => {
  const tries = [circuit("half_open"), circuit("open")];
  expect(linesOf([circuit("open"), ...tries, ...tries, circuit("half_open"), circuit("closed")])).toEqual([
    "warn: the key source failed and is left alone for a moment",
    ...Array.from({ length: 5 }, () => "debug: lease"),
    "info: the key source answers again",
  ]);
  // The next outage is another.
  expect(linesOf([circuit("open"), circuit("closed"), circuit("open")])).toEqual([
    "warn: the key source failed and is left alone for a moment",
    "info: the key source answers again",
    "warn: the key source failed and is left alone for a moment",
  ]);
});

test("each renewal that fails, each lease that is withdrawn and each jump of the clock is a warning of its own", () => {
  const renewal: LeaseEvent = { type: "renewal_failed", ...NAME, reason: "refused", failures: 1, remainingMs: 1 };
  const withdrawn: LeaseEvent = { type: "withdrawn", ...NAME, reason: "key_revoked" };
  expect(linesOf([renewal, withdrawn, { type: "clock_jump", jumpMs: 60_000 }])).toEqual([
    "warn: a lease could not be renewed: it is served to its deadline",
    "warn: the key source refuses a key that was leased: it was wiped",
    "warn: the wall clock jumped, or the machine slept",
  ]);
});

test("what goes as it should is told to who looks closely", () => {
  const installed: LeaseEvent = { type: "installed", ...NAME, ttlMs: 1, source: "core" };
  expect(linesOf([installed, { type: "evicted", ...NAME }])).toEqual(["debug: lease", "debug: lease"]);
});
