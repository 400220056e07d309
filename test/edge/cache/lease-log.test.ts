import { expect, test } from "bun:test";
import type { LeaseEvent } from "../../../src/edge/cache/lease-events.ts";
import { createLeaseLog } from "../../../src/edge/cache/lease-log.ts";

test("an outage is told once when it begins and once when it ends, and each renewal that fails", () => {
  const lines: string[] = [];
  const line = (level: string) => (_: object, message: string) => void lines.push(`${level}: ${message}`);
  const tell = createLeaseLog({ debug: () => {}, info: line("info"), warn: line("warn") });
  const circuit = (state: "open" | "half_open" | "closed"): LeaseEvent => ({
    type: "circuit",
    state,
    reason: "refused",
    retryAfterMs: 0,
  });
  const name = { tenant: "tenant-a", service: "billing", version: undefined };
  tell({ type: "renewal_failed", ...name, reason: "refused", failures: 1, remainingMs: 1 });
  for (let tries = 0; tries < 100; tries++) {
    tell(circuit("open"));
    tell(circuit("half_open"));
  }
  tell(circuit("closed"));
  tell({ type: "clock_jump", jumpMs: 60_000 });
  tell({ type: "evicted", ...name });
  expect(lines).toEqual([
    "warn: a lease could not be renewed: it is served to its deadline",
    "warn: the key source failed and is left alone for a moment",
    "info: the key source answers again",
    "warn: the wall clock jumped, or the machine slept",
  ]);
});
