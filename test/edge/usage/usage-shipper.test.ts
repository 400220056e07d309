import { describe, expect, test } from "bun:test";
import { gunzipSync } from "node:zlib";
import type { Principal } from "../../../src/edge/access/principal.ts";
import type { RecordedKind } from "../../../src/edge/operations/recorder.ts";
import { AuditLog } from "../../../src/edge/usage/audit-log.ts";
import { Usage } from "../../../src/edge/usage/usage.ts";
import { UsageCounters } from "../../../src/edge/usage/usage-counters.ts";
import { lineSink, type UsageBatch, UsageSendError, UsageShipper } from "../../../src/edge/usage/usage-shipper.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const caller: Principal = { kind: "listener", name: "billing", peer: "127.0.0.1" };

interface Sent {
  readonly key: string;
  readonly records: Record<string, unknown>[];
}

/** A Core that takes each idempotency key once. */
class CoreBehind {
  readonly taken = new Map<string, Record<string, unknown>[]>();
  readonly calls: Sent[] = [];
  answer: (sent: Sent) => void = () => {};

  send = async (batch: UsageBatch): Promise<void> => {
    const records = gunzipSync(batch.body)
      .toString()
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    const sent: Sent = { key: batch.idempotencyKey, records };
    this.calls.push(sent);
    this.answer(sent);
    if (!this.taken.has(sent.key)) this.taken.set(sent.key, records);
  };

  get counted(): number {
    const all = [...this.taken.values()].flat();
    return all.reduce((sum, record) => sum + (record.from === undefined ? 0 : (record.count as number)), 0);
  }

  get events(): Record<string, unknown>[] {
    return [...this.taken.values()].flat().filter((record) => record.type === "operation");
  }
}

function setUp(options: { maxRecords?: number; maxLines?: number; maxRows?: number } = {}) {
  const clock = new VirtualClock();
  const core = new CoreBehind();
  const warnings: string[] = [];
  const counters = new UsageCounters({ maxRows: options.maxRows ?? 1000, maxPrincipals: 10 });
  const shipper = new UsageShipper({
    clock,
    counters,
    send: core.send,
    sendAfterMs: 10_000,
    maxRecords: options.maxRecords ?? 100,
    maxLines: options.maxLines ?? 1000,
    warn: (message) => warnings.push(message),
    random: () => 0.5,
  });
  const auditLog = new AuditLog({
    clock,
    edgeId: "edge-1",
    sinks: [lineSink(shipper)],
    writeAfterMs: 100,
    maxQueued: 10_000,
  });
  const usage = new Usage({ clock, edgeId: "edge-1", audited: "failures", counters, shipper, auditLog });
  const kind: RecordedKind = { name: "create", operation: "create" };
  const by = (requestId: string) => ({ principal: caller, door: "native", requestId });
  const ok = (tenant = "tenant-a", count = 1): void =>
    usage.record(kind, by("r-1"), { tenant, service: "billing" }, 1, count, "ok");
  const denied = (tenant = "tenant-b"): void =>
    usage.record(kind, by("r-2"), { tenant, service: "billing" }, 0, 1, "access_denied", "You may not.");
  /** Virtual time, with real turns in between: gzip runs on another thread. */
  const pass = async (ms: number, stepMs = 1000): Promise<void> => {
    for (let passed = 0; passed < ms; passed += stepMs) {
      await clock.advance(stepMs);
      for (let turn = 0; turn < 50 && counters.rows >= 0; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const until = async (done: () => boolean): Promise<void> => {
    for (let turn = 0; turn < 2000 && !done(); turn++) {
      await clock.advance(500);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(done()).toBe(true);
  };
  return { clock, core, warnings, counters, shipper, usage, ok, denied, pass, until };
}

describe("usage batches", () => {
  test("bring counts and audit events to the Core, off the path of the request", async () => {
    const { core, ok, denied, until, usage } = setUp();
    for (let index = 0; index < 5; index++) ok();
    denied();
    expect(core.calls).toHaveLength(0);
    await until(() => core.taken.size === 1);
    expect(core.counted).toBe(6);
    expect(core.events).toMatchObject([
      {
        seq: 2,
        type: "operation",
        time: expect.stringMatching(/^2026-01-01T/),
        principal: "billing",
        principal_kind: "listener",
        peer: "127.0.0.1",
        tenant: "tenant-b",
        service: "billing",
        operation: "create",
        outcome: "access_denied",
        reason: "You may not.",
        request_id: "r-2",
      },
    ]);
    await usage.close(1000);
  });

  test("keep their idempotency key over retries, so an answer that got lost counts once", async () => {
    const { core, ok, until, usage } = setUp();
    let failures = 3;
    core.answer = (sent) => {
      if (failures-- > 0) {
        core.taken.set(sent.key, sent.records);
        throw new Error("connection reset");
      }
    };
    ok("tenant-a", 7);
    await until(() => failures < 0);
    expect(new Set(core.calls.map(({ key }) => key)).size).toBe(1);
    expect(core.calls.length).toBe(4);
    expect(core.counted).toBe(7);
    await usage.close(1000);
  });

  test("lose nothing that was counted while the Core is down for an hour, in bounded memory", async () => {
    const { clock, core, ok, denied, until, usage, shipper, counters } = setUp({ maxLines: 500, maxRows: 200 });
    core.answer = () => {
      throw new UsageSendError("unavailable", "down", { retryAfterMs: 5000 });
    };
    let counted = 0;
    for (let second = 0; second < 3600; second++) {
      ok(`tenant-${second % 300}`, 10);
      denied();
      counted += 11;
      await clock.advance(1000);
      if (second % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
      expect(counters.rows).toBeLessThanOrEqual(200);
      expect(shipper.status().waitingLines).toBeLessThanOrEqual(500);
      expect(shipper.status().waitingRecords).toBeLessThanOrEqual(1000);
    }
    expect(core.taken.size).toBe(0);
    const { droppedLines, oldestMs } = shipper.status();
    expect(droppedLines).toBeGreaterThan(0);
    expect(oldestMs).toBeGreaterThan(3_000_000);
    // Never faster than the Core asked.
    expect(core.calls.length).toBeLessThanOrEqual(3600 / 5 + 1);

    core.answer = () => {};
    await until(() => core.counted === counted && shipper.status().waitingRecords === 0);
    expect(core.events.length + droppedLines).toBe(3600);
    await usage.close(1000);
  });

  test("go in parts of the size asked for, and in halves when the Core finds one too large", async () => {
    const { core, ok, until, usage } = setUp({ maxRecords: 64 });
    core.answer = ({ records }) => {
      if (records.length > 10) throw new UsageSendError("too_large", "too large");
    };
    for (let index = 0; index < 200; index++) ok(`tenant-${index}`);
    await until(() => core.counted === 200);
    expect(Math.max(...core.calls.map(({ records }) => records.length))).toBe(64);
    await usage.close(1000);
  });

  test("that the Core refuses for good are named and do not hold up the rest", async () => {
    const { core, ok, until, usage, warnings, shipper } = setUp();
    core.answer = ({ records }) => {
      if (records[0]?.tenant === "tenant-x") throw new UsageSendError("refused", "version must be a number");
    };
    ok("tenant-x");
    await until(() => shipper.status().refusedRecords > 0);
    expect(warnings[0]).toContain("version must be a number");
    ok("tenant-a");
    await until(() => core.counted === 1);
    await usage.close(1000);
  });

  test("are sent at the stop, also when the Core was in backoff, and what can't be sent is said", async () => {
    const { core, ok, usage, warnings, clock } = setUp();
    let up = false;
    core.answer = () => {
      if (!up) throw new Error("down");
    };
    ok("tenant-a", 3);
    await clock.advance(20_000);
    for (let turn = 0; turn < 100 && core.calls.length === 0; turn++) await Bun.sleep(1);
    ok("tenant-a", 4);
    up = true;
    await usage.close(60_000);
    expect(core.counted).toBe(7);
    expect(warnings).toEqual([]);

    const down = setUp();
    down.core.answer = () => {
      throw new Error("down");
    };
    down.ok();
    await down.usage.close(60_000);
    expect(down.warnings).toEqual([expect.stringContaining("3 usage records")]);
    expect(down.clock.pending).toBe(0);
  });
});
