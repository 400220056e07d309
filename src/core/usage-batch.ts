/** Reads a batch of usage: NDJSON, a slice at a time, so that nothing else waits for a large one. */
import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { yieldToEventLoop } from "../base/time/turns.ts";
import { CoreError } from "./protocol/core-error.ts";
import type { UsageTotal } from "./store/usage-tables.ts";

const MAX_RECORDS = 10_000;
const MAX_LINE_BYTES = 64 * 1024;
const LINES_AT_ONCE = 200;
/** One record counts what one edge did within seconds: more is a mistake, or a lie. */
const MAX_COUNT = 1_000_000_000_000;
/** An edge's clock may be wrong by hours; one that was never set is told. */
const OLDEST_MS = 2 * 365 * 24 * 3_600_000;
const NEWEST_MS = 24 * 3_600_000;

const text = (maxLength: number) => Type.String({ maxLength });

const UsageCount = Type.Object({
  tenant: text(512),
  service: text(512),
  version: Type.Integer({ minimum: 0, maximum: 2 ** 32 - 1 }),
  operation: text(64),
  outcome: text(64),
  principal: text(2048),
  count: Type.Integer({ minimum: 1, maximum: MAX_COUNT }),
  from: text(64),
  to: text(64),
});
type UsageCount = Static<typeof UsageCount>;
const isCount = TypeCompiler.Compile(UsageCount);
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$/;

export interface ReadBatch {
  readonly records: number;
  readonly refused: number;
  /** Those of one set of names are one. */
  readonly counts: readonly Omit<UsageTotal, "edge">[];
  readonly auditEvents: readonly string[];
}

export interface BatchRules {
  readonly nowMs: number;
  /** Whether the edge may lease keys of a tenant's service; without one, of any. */
  readonly allows: (tenant: string, service: string | undefined) => boolean;
}

/** @throws CoreError for a line that makes no sense, with its number. */
export async function readBatch(ndjson: string, rules: BatchRules): Promise<ReadBatch> {
  const counts = new Map<string, Omit<UsageTotal, "edge">>();
  const auditEvents: string[] = [];
  let records = 0;
  let refused = 0;
  let number = 0;
  for (const line of linesOf(ndjson)) {
    number++;
    if (number % LINES_AT_ONCE === 0) await yieldToEventLoop();
    // Empty lines are no records, but a batch of nothing else is bounded all the same.
    if (number > MAX_RECORDS * 2) throw tooMany();
    if (line.trim() === "") continue;
    if (++records > MAX_RECORDS) throw tooMany();
    const wrong = (what: string): CoreError =>
      new CoreError("invalid_request", `line ${number} of the batch ${what}; nothing of the batch was counted`);
    if (line.length > MAX_LINE_BYTES) throw wrong("is too long");
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      throw wrong("is not JSON");
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong("is not an object");
    if (!("count" in value)) {
      if ("time" in value) checkTimes(value.time, value.time, "time", rules.nowMs, wrong);
      if (isForeign(value, rules)) refused++;
      else auditEvents.push(line);
      continue;
    }
    if (!isCount.Check(value)) throw wrong(`is not a usage count (${isCount.Errors(value).First()?.path.slice(1)})`);
    checkTimes(value.from, value.to, "from, to", rules.nowMs, wrong);
    if (isForeign(value, rules)) refused++;
    else add(counts, value);
  }
  return { records, refused, counts: [...counts.values()], auditEvents };
}

/** Without an array of all lines: of a batch that is too long, only the beginning is looked at. */
function* linesOf(ndjson: string): Generator<string> {
  let start = 0;
  while (start <= ndjson.length) {
    const end = ndjson.indexOf("\n", start);
    if (end === -1) {
      yield ndjson.slice(start);
      return;
    }
    yield ndjson.slice(start, end);
    start = end + 1;
  }
}

/**
 * Whether a record is of a key that the edge can't have used. Refusals may name any tenant: callers ask for what they may not
 * have, and that is worth knowing.
 */
function isForeign(record: object, { allows }: BatchRules): boolean {
  const { tenant, service, outcome } = record as Record<string, unknown>;
  if (outcome !== undefined && outcome !== "ok") return false;
  if (typeof tenant !== "string" || tenant === "") return false;
  return !allows(tenant, typeof service === "string" && service !== "" ? service : undefined);
}

function checkTimes(
  from: unknown,
  to: unknown,
  names: string,
  nowMs: number,
  wrong: (what: string) => CoreError,
): void {
  const fromMs = timeMs(from);
  const toMs = timeMs(to);
  if (Number.isNaN(fromMs) || Number.isNaN(toMs)) throw wrong(`has no time such as 2026-01-31T12:00:00Z (${names})`);
  if (fromMs > toMs) throw wrong(`ends before it begins (${names})`);
  if (fromMs < nowMs - OLDEST_MS || toMs > nowMs + NEWEST_MS) {
    throw wrong(`is of another time than the last two years (${names}): check the edge's clock`);
  }
}

function timeMs(value: unknown): number {
  return typeof value === "string" && value.length <= 64 && TIME.test(value) ? Date.parse(value) : Number.NaN;
}

function add(counts: Map<string, Omit<UsageTotal, "edge">>, value: UsageCount): void {
  const { tenant, service, version, operation, outcome, principal, count } = value;
  const from = new Date(value.from).toISOString();
  const to = new Date(value.to).toISOString();
  const key = JSON.stringify([tenant, service, version, operation, outcome, principal]);
  const known = counts.get(key);
  counts.set(key, {
    tenant,
    service,
    version,
    operation,
    outcome,
    principal,
    count: Math.min(Number.MAX_SAFE_INTEGER, count + (known?.count ?? 0)),
    from: known === undefined || from < known.from ? from : known.from,
    to: known === undefined || to > known.to ? to : known.to,
  });
}

function tooMany(): CoreError {
  return new CoreError("too_large", `a batch has at most ${MAX_RECORDS} records: send smaller ones`);
}
