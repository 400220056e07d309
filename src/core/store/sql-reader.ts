/** The `Store`'s reads in SQL that SQLite and PostgreSQL both speak. What differs between them is in their adapters. */
import { runInTurns } from "../../base/time/run-in-turns.ts";
import type { LoggedEvent } from "../protocol/events.ts";
import type { KeyState, ScopeState, ServiceSummary, TenantSummary } from "../protocol/key-state.ts";
import { allInPages } from "./pages.ts";
import type { Sql } from "./sql.ts";
import type {
  LeasableRows,
  LogPosition,
  ServiceRow,
  SigningKeyRow,
  StoreReader,
  VersionRow,
  VersionState,
} from "./store.ts";

interface LeaseRow extends ScopeColumns {
  readonly log: string;
  readonly last_seq: number | string;
  readonly version: number | string | null;
  readonly state: KeyState | null;
  readonly l3: Uint8Array | null;
}

interface ScopeColumns {
  readonly tenant_state: ScopeState;
  readonly service_state: ScopeState | null;
  readonly l2: Uint8Array | null;
  readonly lost_from: number | string | null;
  readonly lost_to: number | string | null;
}

/** One statement, so one snapshot on every isolation level. */
const LEASABLE = `
  SELECT l.log, l.last_seq, t.state AS tenant_state, s.state AS service_state, t.l2, s.lost_from, s.lost_to,
    k.version, k.state, k.l3
  FROM event_log l LEFT JOIN tenants t ON t.tenant = $1
  LEFT JOIN services s ON s.tenant = t.tenant AND s.service = $2
  LEFT JOIN service_keys k ON k.tenant = s.tenant AND k.service = s.service`;
const NEWEST_VERSIONS = `${LEASABLE} AND k.state IN ('active', 'deprecated')
  ORDER BY CASE WHEN k.state = 'active' THEN 0 ELSE 1 END, k.version DESC LIMIT $3`;
const ONE_VERSION = `${LEASABLE} AND k.version = $3`;

export class SqlReader implements StoreReader {
  protected readonly sql: Sql;
  protected readonly retainedEvents: number;

  constructor(sql: Sql, retainedEvents: number) {
    this.sql = sql;
    this.retainedEvents = retainedEvents;
  }

  async position(seq = 0): Promise<LogPosition & { event?: LoggedEvent }> {
    const [row] = await this.sql.all<{
      log: string;
      last_seq: number | string;
      oldest: number | string | null;
      event: string | null;
    }>(
      `SELECT log, last_seq, (SELECT min(seq) FROM events) AS oldest, (SELECT event FROM events WHERE seq = $1) AS event
       FROM event_log`,
      seq,
    );
    if (row === undefined) throw new Error("the database is not a Core's: it names no event log");
    const lastSeq = Number(row.last_seq);
    return {
      log: row.log,
      lastSeq,
      oldestSeq: row.oldest === null ? lastSeq + 1 : Number(row.oldest),
      ...(row.event === null ? {} : { event: JSON.parse(row.event) as LoggedEvent }),
    };
  }

  async eventsAfter(seq: number, limit: number): Promise<LoggedEvent[]> {
    return allInPages<LoggedEvent>(async (last, some) => {
      const rows = await this.sql.all<{ event: string }>(
        "SELECT event FROM events WHERE seq > $1 ORDER BY seq LIMIT $2",
        last?.seq ?? seq,
        some,
      );
      const events = rows.map((row) => JSON.parse(row.event) as LoggedEvent);
      // Old ones may have gone meanwhile: what is given has no hole.
      return last !== undefined && events[0] !== undefined && events[0].seq > last.seq + 1 ? [] : events;
    }, limit);
  }

  async leasable(
    tenant: string,
    service: string,
    version: number | undefined,
    limit: number,
  ): Promise<LeasableRows | undefined> {
    const rows =
      version === undefined
        ? await this.sql.all<LeaseRow>(NEWEST_VERSIONS, tenant, service, limit)
        : await this.sql.all<LeaseRow>(ONE_VERSION, tenant, service, version);
    const [first] = rows;
    const scope = first && scopeOf(first);
    if (first === undefined || scope === undefined) return undefined;
    return {
      ...scope,
      log: first.log,
      lastSeq: Number(first.last_seq),
      versions: rows.flatMap((row) =>
        row.version === null || row.state === null
          ? []
          : [{ version: Number(row.version), state: row.state, wrappedKey: row.l3 }],
      ),
    };
  }

  async tenantState(tenant: string): Promise<ScopeState | undefined> {
    const [row] = await this.sql.all<{ state: ScopeState }>("SELECT state FROM tenants WHERE tenant = $1", tenant);
    return row?.state;
  }

  async service(tenant: string, service: string): Promise<ServiceRow | undefined> {
    const [row] = await this.sql.all<ScopeColumns>(
      `SELECT t.state AS tenant_state, s.state AS service_state, t.l2, s.lost_from, s.lost_to
       FROM services s JOIN tenants t ON t.tenant = s.tenant WHERE s.tenant = $1 AND s.service = $2`,
      tenant,
      service,
    );
    return row && scopeOf(row);
  }

  async version(tenant: string, service: string, version: number): Promise<VersionRow | undefined> {
    const [row] = await this.sql.all<{ state: KeyState; l3: Uint8Array | null }>(
      "SELECT state, l3 FROM service_keys WHERE tenant = $1 AND service = $2 AND version = $3",
      tenant,
      service,
      version,
    );
    return row && { version, state: row.state, wrappedKey: row.l3 };
  }

  async nextVersion(tenant: string, service: string): Promise<number> {
    const [row] = await this.sql.all<{ newest: number | string | null; lost_to: number | string | null }>(
      `SELECT (SELECT max(version) FROM service_keys WHERE tenant = $1 AND service = $2) AS newest,
         (SELECT lost_to FROM services WHERE tenant = $1 AND service = $2) AS lost_to`,
      tenant,
      service,
    );
    return Math.max(Number(row?.newest ?? 0), Number(row?.lost_to ?? 0)) + 1;
  }

  tenants(): Promise<TenantSummary[]> {
    return allInPages<TenantSummary>(async (last, limit) => {
      const rows = await this.sql.all<{
        tenant: string;
        state: ScopeState;
        services: number | string;
        created_at: string;
      }>(
        `SELECT tenant, state, created_at, (SELECT count(*) FROM services s WHERE s.tenant = t.tenant) AS services
         FROM tenants t WHERE tenant > $1 ORDER BY tenant LIMIT $2`,
        last?.tenant ?? "",
        limit,
      );
      return rows.map(({ tenant, state, services, created_at }) => ({
        tenant,
        state,
        services: Number(services),
        createdAt: created_at,
      }));
    });
  }

  async services(tenant: string): Promise<ServiceSummary[]> {
    interface Row {
      readonly service: string;
      readonly service_state: ScopeState;
      readonly version: number | string | null;
      readonly state: KeyState;
      readonly created_at: string;
    }
    const rows = await allInPages<Row>((last, limit) =>
      this.sql.all<Row>(
        `SELECT s.service, s.state AS service_state, k.version, k.state, k.created_at FROM services s
         LEFT JOIN service_keys k ON k.tenant = s.tenant AND k.service = s.service
         WHERE s.tenant = $1 AND s.service >= $2 AND (s.service > $2 OR k.version > $3)
         ORDER BY s.service, k.version LIMIT $4`,
        tenant,
        last?.service ?? "",
        Number(last?.version ?? 0),
        limit,
      ),
    );
    const summaries = new Map<string, ServiceSummary & { versions: ServiceSummary["versions"][number][] }>();
    await runInTurns(rows.length, (index) => {
      const { service, service_state, version, state, created_at } = rows[index]!;
      let summary = summaries.get(service);
      if (summary === undefined) {
        summary = { tenant, service, state: service_state, versions: [] };
        summaries.set(service, summary);
      }
      if (version !== null) summary.versions.push({ version: Number(version), state, createdAt: created_at });
      return 0;
    });
    return [...summaries.values()];
  }

  async newestStates(tenant: string, service: string, limit: number): Promise<VersionState[]> {
    const rows = await this.sql.all<{ version: number | string; state: KeyState }>(
      `SELECT version, state FROM service_keys WHERE tenant = $1 AND service = $2 ORDER BY version DESC LIMIT $3`,
      tenant,
      service,
      limit,
    );
    return rows.map(({ version, state }) => ({ version: Number(version), state })).reverse();
  }

  async signingKeys(): Promise<SigningKeyRow[]> {
    const rows = await this.sql.all<{
      kid: string;
      public_key: Uint8Array;
      private_key: Uint8Array;
      retired_at: string | null;
    }>(
      `SELECT kid, public_key, private_key, retired_at FROM signing_keys
       ORDER BY CASE WHEN retired_at IS NULL THEN 0 ELSE 1 END, created_at DESC`,
    );
    return rows.map((row) => ({
      kid: row.kid,
      publicKey: row.public_key,
      wrappedPrivateKey: row.private_key,
      retiredAt: row.retired_at ?? undefined,
    }));
  }

  async setting(name: string): Promise<Uint8Array | undefined> {
    const [row] = await this.sql.all<{ value: Uint8Array }>("SELECT value FROM settings WHERE name = $1", name);
    return row?.value;
  }

  async tenantKeys(after: string, limit: number): Promise<{ tenant: string; wrappedKey: Uint8Array }[]> {
    const rows = await this.sql.all<{ tenant: string; l2: Uint8Array }>(
      "SELECT tenant, l2 FROM tenants WHERE tenant > $1 AND l2 IS NOT NULL ORDER BY tenant LIMIT $2",
      after,
      limit,
    );
    return rows.map((row) => ({ tenant: row.tenant, wrappedKey: row.l2 }));
  }
}

function scopeOf(row: ScopeColumns): ServiceRow | undefined {
  if (row.service_state === null) return undefined;
  return {
    tenantState: row.tenant_state,
    state: row.service_state,
    wrappedTenantKey: row.l2,
    lost:
      row.lost_from === null || row.lost_to === null
        ? undefined
        : { from: Number(row.lost_from), to: Number(row.lost_to) },
  };
}
