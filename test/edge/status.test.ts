/** `/readyz` and status say nothing better than it is. */
import { describe, expect, test } from "bun:test";
import { type EdgeState, problemsOf, readinessOf } from "../../src/edge/status.ts";

const HELD = { tenant: "tenant-a", service: "billing", versions: [], remainingMs: 1_000, source: "core" };
const NAME = { tenant: "tenant-a", service: "billing" };

function state(
  changes: { leases?: number; circuit?: "closed" | "open" | "half_open"; failing?: number } & Partial<
    Omit<EdgeState, "leases">
  > = {},
): EdgeState {
  const { leases = 1, circuit = "closed", failing = 0, ...rest } = changes;
  return {
    stopping: false,
    prewarm: [],
    isOpen: true,
    revocation: { transports: [], silent: false, silentMs: 0 } as unknown as EdgeState["revocation"],
    summary: {
      leases,
      circuit,
      failing,
      shortestRemainingMs: leases === 0 ? undefined : 1_000,
    } as EdgeState["summary"],
    leases: () => (leases === 0 ? [] : [HELD]),
    ...rest,
  };
}

describe("an edge is not ready while its next callers would be refused", () => {
  test.each([
    [
      "a promised key has no lease, whatever it had before",
      state({ prewarm: [NAME], leases: 0 }),
      "No lease is held on 1 of the 1 keys",
    ],
    [
      "one of several promised keys has none",
      state({ prewarm: [NAME, { tenant: "tenant-b", service: "x" }] }),
      "on 1 of the 2 keys",
    ],
    ["the source fails and no lease is left", state({ leases: 0, circuit: "open" }), "no lease is left"],
    ["the source is tried again and no lease is left", state({ leases: 0, circuit: "half_open" }), "no lease is left"],
    ["silence forbids it", state({ isOpen: false }), "fail_closed"],
    ["it is stopping", state({ stopping: true }), "stopping"],
  ])("%s", (_, looked, reason) => {
    const { ready, reasons } = readinessOf(looked);
    expect(ready).toBe(false);
    expect(reasons.join()).toContain(reason);
    expect(problemsOf(looked, { usage: { sinks: [] } as never, certificates: [], nowMs: 0 }).join()).toContain(reason);
  });

  test("but it is while leases last, with or without its source, and before anybody has asked", () => {
    for (const looked of [
      state(),
      state({ circuit: "open" }),
      state({ leases: 0 }),
      state({ prewarm: [NAME], failing: 1 }),
    ]) {
      expect(readinessOf(looked)).toMatchObject({ ready: true, reasons: [] });
    }
  });

  test("a probe learns nothing of tenants and of the event log", () => {
    const text = JSON.stringify(readinessOf(state({ prewarm: [NAME], leases: 0 })));
    expect(text).not.toContain("tenant-a");
    expect(Object.keys(JSON.parse(text).revocation)).toEqual(["silent", "silentMs"]);
  });
});

test("status names what an operator should know while the edge still serves", () => {
  const looked = state({
    failing: 2,
    circuit: "open",
    revocation: { transports: [{ name: "nats", connected: false, reason: "refused" }] } as never,
  });
  const DAY_MS = 86_400_000;
  const problems = problemsOf(looked, {
    usage: { sinks: [], audit: { failing: true, dropped: 3 } } as never,
    certificates: [
      {
        kind: "certificate" as const,
        role: "listener",
        file: "cert.pem",
        subject: "",
        notBeforeMs: 0,
        notAfterMs: 100 * DAY_MS,
      },
      {
        kind: "certificate" as const,
        role: "the Core's client",
        file: "edge.pem",
        subject: "",
        notBeforeMs: 0,
        notAfterMs: 90 * DAY_MS,
      },
    ],
    nowMs: 95 * DAY_MS,
  });
  expect(problems).toEqual([
    expect.stringContaining("2 leases could not be renewed"),
    expect.stringContaining("The key source fails"),
    'The revocation transport "nats" is not connected: refused.',
    expect.stringContaining("The audit can't be written"),
    "3 lines of the audit were lost.",
    expect.stringContaining("cert.pem of listener ends on 1970-04-11"),
    expect.stringContaining("edge.pem of the Core's client ended on 1970-04-01"),
  ]);
});
