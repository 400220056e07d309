/** What a revocation would hit: what was reported of late. Told by `UsageTables`, whose transactions these join. */
import type { RevocationScope } from "../protocol/events.ts";
import { pagesOf } from "./pages.ts";
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

interface UseRow {
  readonly service: string;
  readonly version: number | string;
  readonly slot: string;
  readonly edge: string;
  readonly count: number | string;
}

/** Within the scope, in the slots from `since` on. Summed here: a tenant that a whole fleet uses has too many rows for one statement. */
export async function recentUse(sql: Sql, scope: RevocationScope, since: string): Promise<RecentUse[]> {
  const { where, values } = within(scope);
  const sums = new Map<string, { edge: string; version: number; count: number }>();
  // Older slots are left out here, so that a page looks at as many rows as it gives.
  for await (const rows of pagesOf<UseRow>((last, limit) => {
    const after = last === undefined ? ["", -1, "", ""] : [last.service, last.version, last.slot, last.edge];
    const [service, version, slot, edge, most] = after.concat(limit).map((_, index) => `$${values.length + index + 1}`);
    return sql.all(
      `SELECT service, version, slot, edge, count FROM recent_use WHERE ${where}
       AND (service, version, slot, edge) > (${service}, ${version}, ${slot}, ${edge})
       ORDER BY service, version, slot, edge LIMIT ${most}`,
      ...values,
      ...after,
      limit,
    );
  })) {
    for (const { version, slot, edge, count } of rows) {
      if (slot < since) continue;
      const key = `${version} ${edge}`;
      const sum = sums.get(key);
      if (sum === undefined) sums.set(key, { edge, version: Number(version), count: Number(count) });
      else sum.count += Number(count);
    }
  }
  return [...sums.values()];
}

export async function pruneImpact(sql: Sql, nowMs: number): Promise<void> {
  await sql.run("DELETE FROM recent_use WHERE slot < $1", slotOf(nowMs - KEPT_MS));
}

function within({ tenant, service, version }: RevocationScope) {
  const values: (string | number)[] = [tenant];
  let where = "tenant = $1";
  if (service !== undefined) {
    values.push(service);
    where += " AND service = $2";
  }
  if (version !== undefined) {
    values.push(version);
    where += ` AND version = $${values.length}`;
  }
  return { where, values };
}
