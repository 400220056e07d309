/** What a revocation would hit: what was reported of late. Told by `UsageTables`, whose transactions these join. */
import type { RevocationScope } from "../protocol/events.ts";
import type { Sql } from "./sql.ts";

/** Operations of one edge under one version. */
export interface RecentUse {
  readonly edge: string;
  readonly version: number;
  readonly count: number;
}

/** Counts are kept by slots of so long, of the time at which they were reported. */
const SLOT_MS = 5 * 60_000;
/** Slots older than this go. */
const KEPT_MS = 2 * 3_600_000;

export function slotOf(ms: number): string {
  return new Date(Math.floor(ms / SLOT_MS) * SLOT_MS).toISOString();
}

export async function addRecentUse(
  sql: Sql,
  edge: string,
  at: string,
  one: { readonly tenant: string; readonly service: string; readonly version: number; readonly count: number },
): Promise<void> {
  await sql.run(
    `INSERT INTO recent_use (tenant, service, version, slot, edge, count) VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (tenant, service, version, slot, edge) DO UPDATE SET
       count = CASE WHEN recent_use.count + excluded.count > ${Number.MAX_SAFE_INTEGER} THEN ${Number.MAX_SAFE_INTEGER}
         ELSE recent_use.count + excluded.count END`,
    one.tenant,
    one.service,
    one.version,
    slotOf(Date.parse(at)),
    edge,
    one.count,
  );
}

/** Within the scope, in the slots from `since` on. */
export async function recentUse(sql: Sql, scope: RevocationScope, since: string): Promise<RecentUse[]> {
  const { where, values } = within(scope, since);
  const rows = await sql.all<{ edge: string; version: number | string; count: number | string }>(
    `SELECT edge, version, sum(count) AS count FROM recent_use WHERE slot >= $1 AND ${where} GROUP BY edge, version`,
    ...values,
  );
  return rows.map((row) => ({ edge: row.edge, version: Number(row.version), count: Number(row.count) }));
}

export async function pruneImpact(sql: Sql, nowMs: number): Promise<void> {
  await sql.run("DELETE FROM recent_use WHERE slot < $1", slotOf(nowMs - KEPT_MS));
}

function within({ tenant, service, version }: RevocationScope, first: string) {
  const values: (string | number)[] = [first, tenant];
  let where = "tenant = $2";
  if (service !== undefined) {
    values.push(service);
    where += " AND service = $3";
  }
  if (version !== undefined) {
    values.push(version);
    where += ` AND version = $${values.length}`;
  }
  return { where, values };
}
