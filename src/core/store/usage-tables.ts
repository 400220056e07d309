/** What edges report and what Cores tell one another, in tables whose writers never hold up a change of keys. */
import { mapInTurns } from "../../base/time/run-in-turns.ts";
import { yieldToEventLoop } from "../../base/time/turns.ts";
import type { RevocationScope } from "../protocol/events.ts";
import { addRecentUse, pruneImpact, type RecentUse, recentUse } from "./impact-tables.ts";
import { allInPages } from "./pages.ts";
import type { Sql, SqlDatabase } from "./sql.ts";
import type { CorePresence, EdgeInstance, EdgePresence } from "./store.ts";

/** The sum of what one edge reported under one set of names. */
export interface UsageTotal {
  readonly edge: string;
  readonly tenant: string;
  readonly service: string;
  readonly version: number;
  readonly operation: string;
  readonly outcome: string;
  readonly principal: string;
  readonly count: number;
  readonly from: string;
  readonly to: string;
}

export interface UsageBatch {
  readonly edge: string;
  readonly idempotencyKey: string;
  /** SHA-256 of the batch as it came. */
  readonly digest: Uint8Array;
  /** How many records it has, refused ones included. */
  readonly records: number;
  readonly at: string;
  /** No two of one set of names. */
  readonly counts: readonly Omit<UsageTotal, "edge">[];
  /** JSON texts. */
  readonly auditEvents: readonly string[];
}

export interface AuditFilter {
  readonly limit: number;
  readonly edge?: string;
  /** An ISO time: received since then. */
  readonly since?: string;
}

export interface UsageLimits {
  /** ISO times. What is older goes. */
  readonly batchesSince: string;
  readonly countsSince: string;
  readonly auditSince: string;
  readonly edgesSince: string;
  /** Old counts of what was used of late go. */
  readonly nowMs: number;
  /** Of audit events, the oldest go first. */
  readonly auditBytes: number;
}

/** Rows written in one go, in about a millisecond. */
const SLICE = 100;
/** Numbers of audit events that one read looks at. */
const AUDIT_IDS = 1_000;
const PRUNE_ROWS = 2_000;
/** Above this a sum says "at least". */
const MAX_COUNT = Number.MAX_SAFE_INTEGER;

export class UsageTables {
  readonly #sql: SqlDatabase;
  #writing: Promise<unknown> = Promise.resolve();

  constructor(sql: SqlDatabase) {
    this.#sql = sql;
  }

  /** Counts a batch once, whole or not at all. Returns the first one's digest and size where its key was used before. */
  take(batch: UsageBatch): Promise<{ digest: Uint8Array; records: number } | undefined> {
    return this.#track(
      this.#sql.transaction(async (sql) => {
        const [known] = await sql.all<{ records: number | string; digest: Uint8Array }>(
          "SELECT records, digest FROM usage_batches WHERE edge = $1 AND idempotency_key = $2",
          batch.edge,
          batch.idempotencyKey,
        );
        if (known !== undefined) return { digest: known.digest, records: Number(known.records) };
        await sql.run(
          `INSERT INTO usage_batches (edge, idempotency_key, digest, records, received_at)
           VALUES ($1, $2, $3, $4, $5)`,
          batch.edge,
          batch.idempotencyKey,
          batch.digest,
          batch.records,
          batch.at,
        );
        await inSlices(batch.counts, (one) => addCount(sql, batch.edge, one));
        await inSlices(
          batch.counts.filter(({ outcome }) => outcome === "ok"),
          (one) => addRecentUse(sql, batch.edge, batch.at, one),
        );
        await inSlices(batch.auditEvents, (event) =>
          sql.run(
            "INSERT INTO audit_events (edge, received_at, event) VALUES ($1, $2, $3)",
            batch.edge,
            batch.at,
            event,
          ),
        );
        const bytes = batch.auditEvents.reduce((sum, event) => sum + event.length, 0);
        if (bytes > 0) await sql.run("UPDATE audit_size SET bytes = bytes + $1", bytes);
        return undefined;
      }),
    );
  }

  async totals(limit: number): Promise<UsageTotal[]> {
    const rows = await this.#sql.all<UsageTotal & { version: number | string; count: number | string }>(
      `SELECT edge, tenant, service, version, operation, outcome, principal, count, first_at AS "from",
         last_at AS "to" FROM usage_counts ORDER BY last_at DESC LIMIT $1`,
      limit,
    );
    await yieldToEventLoop();
    return mapInTurns(rows, (row) => ({ ...row, version: Number(row.version), count: Number(row.count) }));
  }

  usedWithin(scope: RevocationScope, since: string): Promise<RecentUse[]> {
    return recentUse(this.#sql, scope, since);
  }

  /** The newest first, each with the name of the edge that sent it. However few there are of an edge, all are looked through, in turns. */
  async auditEvents({ limit, edge, since = "" }: AuditFilter): Promise<Record<string, unknown>[]> {
    const [range] = await this.#sql.all<{ oldest: number | string | null; newest: number | string | null }>(
      "SELECT (SELECT min(id) FROM audit_events) AS oldest, (SELECT max(id) FROM audit_events) AS newest",
    );
    const oldest = Number(range?.oldest ?? 0);
    const events: Record<string, unknown>[] = [];
    for (let until = Number(range?.newest ?? -1); until >= oldest && events.length < limit; until -= AUDIT_IDS) {
      const rows = await this.#sql.all<{ edge: string; event: string }>(
        `SELECT edge, event FROM audit_events WHERE id <= $1 AND id > $2 AND received_at >= $3
         AND ($4 = '' OR edge = $4) ORDER BY id DESC LIMIT $5`,
        until,
        until - AUDIT_IDS,
        since,
        edge ?? "",
        limit - events.length,
      );
      // The name is the certificate's, whatever the record says.
      for (const row of rows) events.push({ ...(JSON.parse(row.event) as object), edge: row.edge });
      await yieldToEventLoop();
    }
    return events;
  }

  /** Deletes what is too old or too much, some rows at a time. Returns how many audit events went. */
  async prune(limits: UsageLimits): Promise<number> {
    await this.#track(this.#sql.run("DELETE FROM usage_batches WHERE received_at < $1", limits.batchesSince));
    await this.#track(this.#sql.run("DELETE FROM usage_counts WHERE last_at < $1", limits.countsSince));
    await this.#track(this.#sql.run("DELETE FROM edges WHERE last_seen_at < $1", limits.edgesSince));
    await this.#track(this.#sql.run("DELETE FROM cores WHERE seen_at < $1", limits.edgesSince));
    await this.#track(pruneImpact(this.#sql, limits.nowMs));
    let gone = 0;
    for (;;) {
      const count = await this.#track(this.#pruneAudit(limits));
      gone += count;
      if (count === 0) return gone;
    }
  }

  async seen(core: CorePresence, edges: readonly EdgePresence[]): Promise<void> {
    await this.#track(
      this.#sql.transaction(async (sql) => {
        await sql.run(
          `INSERT INTO cores (core, seen_at, version, master_keys, seq) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (core) DO UPDATE SET seen_at = excluded.seen_at, version = excluded.version,
             master_keys = excluded.master_keys, seq = excluded.seq`,
          core.core,
          core.seenAt,
          core.version,
          core.masterKeys.join(" "),
          core.seq ?? null,
        );
        await inSlices(edges, (one) =>
          sql.run(
            `INSERT INTO edges (edge, core, last_seen_at, lease_calls, recent_calls, usage_batches, streams, seq,
               version, certificate_ends_at, instances) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (edge, core) DO UPDATE SET last_seen_at = excluded.last_seen_at,
               lease_calls = excluded.lease_calls, recent_calls = excluded.recent_calls, usage_batches = excluded.usage_batches,
               streams = excluded.streams, seq = excluded.seq, version = excluded.version,
               certificate_ends_at = excluded.certificate_ends_at, instances = excluded.instances`,
            one.edge,
            one.core,
            one.lastSeenAt,
            one.leaseCalls,
            one.recentCalls,
            one.usageBatches,
            one.streams,
            one.seq ?? null,
            one.version ?? null,
            one.certificateEndsAt ?? null,
            one.instances === undefined ? null : JSON.stringify(one.instances),
          ),
        );
      }),
    );
  }

  async cores(since: string): Promise<CorePresence[]> {
    const rows = await this.#sql.all<{
      core: string;
      seen_at: string;
      version: string;
      master_keys: string;
      seq: number | string | null;
    }>("SELECT core, seen_at, version, master_keys, seq FROM cores WHERE seen_at >= $1 ORDER BY core", since);
    return rows.map((row) => ({
      core: row.core,
      seenAt: row.seen_at,
      version: row.version,
      masterKeys: row.master_keys.split(" ").filter((id) => id !== ""),
      seq: row.seq === null ? undefined : Number(row.seq),
    }));
  }

  edges(): Promise<EdgePresence[]> {
    return allInPages<EdgePresence>(async (last, limit) => {
      const rows = await this.#sql.all<EdgeRow>(
        "SELECT * FROM edges WHERE edge >= $1 AND (edge > $1 OR core > $2) ORDER BY edge, core LIMIT $3",
        last?.edge ?? "",
        last?.core ?? "",
        limit,
      );
      return rows.map(presenceOf);
    });
  }

  /** Lease calls of busy edges that other Cores have told of since then. */
  async callsElsewhere(core: string, since: string, atLeast: number): Promise<{ edge: string; calls: number }[]> {
    const rows = await this.#sql.all<{ edge: string; calls: number | string }>(
      `SELECT edge, sum(recent_calls) AS calls FROM edges
       WHERE core <> $1 AND last_seen_at >= $2 AND recent_calls >= $3 GROUP BY edge`,
      core,
      since,
      atLeast,
    );
    return rows.map(({ edge, calls }) => ({ edge, calls: Number(calls) }));
  }

  /** After the writes under way. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  #track<T>(write: Promise<T>): Promise<T> {
    this.#writing = Promise.allSettled([this.#writing, write]);
    return write;
  }

  #pruneAudit(limits: UsageLimits): Promise<number> {
    return this.#sql.transaction(async (sql) => {
      const [size] = await sql.all<{ bytes: number | string }>("SELECT bytes FROM audit_size");
      const isOver = Number(size?.bytes ?? 0) > limits.auditBytes;
      const rows = await sql.all<{ id: number | string; bytes: number | string }>(
        `SELECT id, length(event) AS bytes FROM audit_events ${isOver ? "WHERE received_at >= $1 OR received_at < $1" : "WHERE received_at < $1"}
         ORDER BY id LIMIT $2`,
        limits.auditSince,
        PRUNE_ROWS,
      );
      let over = Number(size?.bytes ?? 0) - limits.auditBytes;
      let last: number | string | undefined;
      let bytes = 0;
      let count = 0;
      for (const row of rows) {
        if (isOver && over <= 0) break;
        last = row.id;
        over -= Number(row.bytes);
        bytes += Number(row.bytes);
        count++;
      }
      if (last === undefined) return 0;
      await sql.run(
        isOver
          ? "DELETE FROM audit_events WHERE id <= $1"
          : "DELETE FROM audit_events WHERE id <= $1 AND received_at < $2",
        ...(isOver ? [last] : [last, limits.auditSince]),
      );
      await sql.run("UPDATE audit_size SET bytes = CASE WHEN bytes > $1 THEN bytes - $1 ELSE 0 END", bytes);
      return count;
    });
  }
}

interface EdgeRow {
  readonly edge: string;
  readonly core: string;
  readonly last_seen_at: string;
  readonly lease_calls: number | string;
  readonly recent_calls: number | string;
  readonly usage_batches: number | string;
  readonly streams: number | string;
  readonly seq: number | string | null;
  readonly version: string | null;
  readonly certificate_ends_at: string | null;
  readonly instances: string | null;
}

function presenceOf(row: EdgeRow): EdgePresence {
  return {
    edge: row.edge,
    core: row.core,
    lastSeenAt: row.last_seen_at,
    leaseCalls: Number(row.lease_calls),
    recentCalls: Number(row.recent_calls),
    usageBatches: Number(row.usage_batches),
    streams: Number(row.streams),
    seq: row.seq === null ? undefined : Number(row.seq),
    version: row.version ?? undefined,
    certificateEndsAt: row.certificate_ends_at ?? undefined,
    instances: row.instances === null ? undefined : (JSON.parse(row.instances) as EdgeInstance[]),
  };
}

function addCount(sql: Sql, edge: string, one: Omit<UsageTotal, "edge">): Promise<void> {
  return sql.run(
    `INSERT INTO usage_counts
       (edge, tenant, service, version, operation, outcome, principal, count, first_at, last_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
     ON CONFLICT (edge, tenant, service, version, operation, outcome, principal) DO UPDATE SET
       count = CASE WHEN usage_counts.count + excluded.count > ${MAX_COUNT} THEN ${MAX_COUNT}
         ELSE usage_counts.count + excluded.count END,
       first_at = CASE WHEN usage_counts.first_at < excluded.first_at THEN usage_counts.first_at
         ELSE excluded.first_at END,
       last_at = CASE WHEN usage_counts.last_at > excluded.last_at THEN usage_counts.last_at
         ELSE excluded.last_at END`,
    edge,
    one.tenant,
    one.service,
    one.version,
    one.operation,
    one.outcome,
    one.principal,
    one.count,
    one.from,
    one.to,
  );
}

/** Some rows at a time, with everyone else's calls in between. */
async function inSlices<T>(items: readonly T[], write: (item: T) => Promise<void>): Promise<void> {
  for (let start = 0; start < items.length; start += SLICE) {
    if (start > 0) await yieldToEventLoop();
    await Promise.all(items.slice(start, start + SLICE).map(write));
  }
}
