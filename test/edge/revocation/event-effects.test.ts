/** What the operator's log and the status say of what events did. */
import { expect, test } from "bun:test";
import type { AuthorityOrder } from "../../../src/edge/revocation/authority-blocks.ts";
import { createRevocationGuard } from "../../../src/edge/revocation/guard.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { createWorld, heartbeat, noteTo, restore, revoke, V3 } from "./world.ts";

const ORDER: AuthorityOrder = { type: "revoke", issuer: "governance", scope: V3, reason: "red button" };

/** Level, message and one field, of the lines that were written since. */
function told(lines: string[], field: string): string[] {
  return lines.splice(0).map((line) => {
    const [, level, message, fields] = /^(\w+) (.*?) (\{.*\})$/.exec(line)!;
    return `${level}: ${message} (${(JSON.parse(fields!) as Record<string, unknown>)[field]})`;
  });
}

test("a revocation and its end are told, with how many versions went", () => {
  const { guard, lines } = createWorld();
  const sink = guard.sink("core");
  sink.deliver(heartbeat(0));
  lines.splice(0);
  sink.deliver(revoke(1, V3));
  expect(told(lines, "wiped")).toEqual(["info: a revocation was applied (1)"]);
  sink.deliver(restore(2, V3));
  expect(told(lines, "seq")).toEqual(["info: a block was lifted (2)"]);
});

test("what an authority orders is told, and when it can't be remembered that is a warning", () => {
  const { guard, lines } = createWorld({ limits: { maxScopes: 1 } });
  const sink = guard.sink("orbital");
  sink.applyAuthority(ORDER);
  expect(told(lines, "wiped")).toEqual(["info: an authority's revocation was applied (1)"]);
  sink.applyAuthority({ ...ORDER, scope: { tenant: "other" } });
  expect(told(lines, "issuer")).toEqual([
    "warn: an authority's revocation was not applied: no more blocks can be remembered (governance)",
  ]);
  sink.applyAuthority({ ...ORDER, type: "restore" });
  expect(told(lines, "blocks")).toEqual(["info: an authority has lifted its block (1)"]);
});

test("each drop of every lease is told, and counted", () => {
  const { guard, lines, control } = createWorld();
  const sink = guard.sink("core");
  sink.deliver(heartbeat(3));
  expect(guard.status().leaseDrops).toBe(0);
  lines.splice(0);
  sink.deliver(heartbeat(3, "log-b"));
  sink.deliver(heartbeat(3, "log-c"));
  expect(guard.status().leaseDrops).toBe(2);
  expect(control.count("dropAll")).toBe(2);
  expect(told(lines, "reason")).toContain("warn: every lease is dropped (the event log has changed)");
});

test("before there is a cache nothing is held, so nothing is wiped", () => {
  const lines: string[] = [];
  const clock = new VirtualClock();
  const guard = createRevocationGuard({ clock, log: noteTo(lines), maxSilenceMs: 30_000, onSilence: "renew_early" });
  expect(guard.sink("orbital").applyAuthority(ORDER)).toEqual({ outcome: "applied", wiped: 0 });
  expect(guard.isBlocked("t", "s", 3)).toBe(true);
});
