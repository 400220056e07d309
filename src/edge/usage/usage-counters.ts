/**
 * The counts of finished operations, merged per principal, tenant, service, version, operation and outcome.
 *
 * `add` is on the path of every request, so a count is one addition in a typed array, found by maps whose keys are the
 * caller's own strings: nothing is built or allocated for a row that exists. Rows are bounded, since tenants, services
 * and versions are whatever callers say: when there is none left, the oldest row of the principal that has most is merged into that
 * principal's "other" row. Counts move; none is lost, and no principal can push out another's.
 */
import { OPERATIONS, type Operation } from "../access/access-policy.ts";
import type { Principal, PrincipalKind } from "../access/principal.ts";
import { OUTCOMES, type Outcome } from "../operations/recorder.ts";

/** A count, as it travels to the Core (core-protocol.md, "Usage"). Times are UTC, ISO 8601. */
export interface CountRecord {
  readonly tenant: string;
  readonly service: string;
  readonly version: number;
  readonly operation: Operation;
  readonly outcome: Outcome;
  readonly principal: string;
  readonly count: number;
  readonly from: string;
  readonly to: string;
}

/** Stands for "several" where counts were merged; no tenant, service or SPIFFE ID can have this name. */
export const MERGED = "*";

const SLOTS_PER_ROW = OPERATIONS.length * OUTCOMES.length;
/** Rows whose slots are allocated at once: 26 kB. */
const ROWS_PER_ARRAY = 64;

const OUTCOME_INDEX = Object.fromEntries(OUTCOMES.map((outcome, index) => [outcome, index])) as Record<Outcome, number>;
const OPERATION_OFFSET: Readonly<Record<Operation, number>> = {
  create: 0,
  decrypt: OUTCOMES.length,
  rewrap: 2 * OUTCOMES.length,
  encrypt: 3 * OUTCOMES.length,
};

export interface UsageCountersOptions {
  /** Rows of (principal, tenant, service, version) kept apart. Each takes about half a kilobyte, once there are so many. */
  readonly maxRows: number;
  /** Principals kept apart; further ones are counted together. */
  readonly maxPrincipals: number;
}

/** Where a row's counts are. */
interface Slots {
  readonly counts: Float64Array;
  /** Of the first. */
  readonly offset: number;
}

interface Row extends Slots {
  readonly tenant: string;
  readonly service: string;
  readonly version: number;
  used: boolean;
}

interface PrincipalRows {
  readonly kind: PrincipalKind;
  readonly name: string;
  readonly byTenant: Map<string, Map<string, Map<number, Row>>>;
  /** Oldest first. */
  readonly rows: Set<Row>;
  readonly other: Row;
  last: Row;
}

export class UsageCounters {
  readonly #maxRows: number;
  readonly #maxPrincipals: number;
  /** Allocated as rows are made, since most edges count few: those for `maxRows` take megabytes. All are zero. */
  readonly #free: Slots[] = [];
  readonly #byKind = new Map<PrincipalKind, Map<string, PrincipalRows>>();
  readonly #principals = new Set<PrincipalRows>();
  #everyoneElse: PrincipalRows | undefined;
  #lastPrincipal: Principal | undefined;
  #last: PrincipalRows | undefined;
  #rows = 0;
  #mergedRows = 0;

  constructor(options: UsageCountersOptions) {
    this.#maxRows = options.maxRows;
    this.#maxPrincipals = options.maxPrincipals;
  }

  /** Rows in use, "other" rows left out. */
  get rows(): number {
    return this.#rows;
  }

  /** How often a row was merged into an "other" row. */
  get mergedRows(): number {
    return this.#mergedRows;
  }

  /** Never throws; a count below one is none. */
  add(
    principal: Principal,
    operation: Operation,
    outcome: Outcome,
    tenant: string,
    service: string,
    version: number,
    count: number,
  ): void {
    let rows = this.#last;
    if (principal !== this.#lastPrincipal || rows === undefined) {
      rows = this.#rowsOf(principal);
      this.#lastPrincipal = principal;
      this.#last = rows;
    }
    let row = rows.last;
    if (row.version !== version || row.tenant !== tenant || row.service !== service) {
      row = rows.byTenant.get(tenant)?.get(service)?.get(version) ?? this.#newRow(rows, tenant, service, version);
      rows.last = row;
    }
    row.used = true;
    const slot = row.offset + OPERATION_OFFSET[operation] + (outcome === "ok" ? 0 : OUTCOME_INDEX[outcome]);
    row.counts[slot]! += count;
  }

  /** Takes every count out, and forgets rows that counted nothing since the last call. */
  drain(fromMs: number, toMs: number): CountRecord[] {
    const from = new Date(fromMs).toISOString();
    const to = new Date(toMs).toISOString();
    const records: CountRecord[] = [];
    const take = (principal: PrincipalRows, row: Row): void => {
      for (let slot = 0; slot < SLOTS_PER_ROW; slot++) {
        const count = row.counts[row.offset + slot]!;
        if (count === 0) continue;
        row.counts[row.offset + slot] = 0;
        records.push({
          tenant: row.tenant,
          service: row.service,
          version: row.version,
          operation: OPERATIONS[Math.floor(slot / OUTCOMES.length)]!,
          outcome: OUTCOMES[slot % OUTCOMES.length]!,
          principal: principal.name,
          count,
          from,
          to,
        });
      }
      row.used = false;
    };
    for (const principal of this.#principals) {
      for (const row of principal.rows) {
        if (row.used) take(principal, row);
        else this.#forget(principal, row);
      }
      if (principal.other.used) take(principal, principal.other);
      else if (principal.rows.size === 0) this.#forgetPrincipal(principal);
    }
    return records;
  }

  #rowsOf(principal: Principal): PrincipalRows {
    const known = this.#byKind.get(principal.kind)?.get(principal.name);
    if (known !== undefined) return known;
    if (this.#principals.size >= this.#maxPrincipals) {
      this.#everyoneElse ??= this.#newPrincipal("listener", MERGED);
      return this.#everyoneElse;
    }
    const rows = this.#newPrincipal(principal.kind, principal.name);
    let byName = this.#byKind.get(principal.kind);
    if (byName === undefined) {
      byName = new Map();
      this.#byKind.set(principal.kind, byName);
    }
    byName.set(principal.name, rows);
    return rows;
  }

  #newPrincipal(kind: PrincipalKind, name: string): PrincipalRows {
    const other = this.#takeRow(MERGED, MERGED, 0);
    const rows: PrincipalRows = { kind, name, byTenant: new Map(), rows: new Set(), other, last: other };
    this.#principals.add(rows);
    return rows;
  }

  #newRow(principal: PrincipalRows, tenant: string, service: string, version: number): Row {
    if (this.#rows >= this.#maxRows) this.#mergeOldest();
    const row = this.#takeRow(tenant, service, version);
    this.#rows++;
    principal.rows.add(row);
    let byService = principal.byTenant.get(tenant);
    if (byService === undefined) {
      byService = new Map();
      principal.byTenant.set(tenant, byService);
    }
    let byVersion = byService.get(service);
    if (byVersion === undefined) {
      byVersion = new Map();
      byService.set(service, byVersion);
    }
    byVersion.set(version, row);
    return row;
  }

  #takeRow(tenant: string, service: string, version: number): Row {
    if (this.#free.length === 0) {
      const counts = new Float64Array(ROWS_PER_ARRAY * SLOTS_PER_ROW);
      for (let row = ROWS_PER_ARRAY - 1; row >= 0; row--) this.#free.push({ counts, offset: row * SLOTS_PER_ROW });
    }
    const { counts, offset } = this.#free.pop()!;
    return { tenant, service, version, counts, offset, used: false };
  }

  #mergeOldest(): void {
    let most: PrincipalRows | undefined;
    for (const principal of this.#principals) {
      if (most === undefined || principal.rows.size > most.rows.size) most = principal;
    }
    const oldest = most?.rows.values().next().value;
    if (most === undefined || oldest === undefined) return;
    for (let slot = 0; slot < SLOTS_PER_ROW; slot++) {
      most.other.counts[most.other.offset + slot]! += oldest.counts[oldest.offset + slot]!;
      oldest.counts[oldest.offset + slot] = 0;
    }
    most.other.used ||= oldest.used;
    this.#mergedRows++;
    this.#forget(most, oldest);
  }

  #forget(principal: PrincipalRows, row: Row): void {
    principal.rows.delete(row);
    const byService = principal.byTenant.get(row.tenant);
    const byVersion = byService?.get(row.service);
    byVersion?.delete(row.version);
    if (byVersion?.size === 0) byService?.delete(row.service);
    if (byService?.size === 0) principal.byTenant.delete(row.tenant);
    if (principal.last === row) principal.last = principal.other;
    this.#free.push({ counts: row.counts, offset: row.offset });
    this.#rows--;
  }

  #forgetPrincipal(principal: PrincipalRows): void {
    this.#principals.delete(principal);
    if (principal === this.#everyoneElse) this.#everyoneElse = undefined;
    else this.#byKind.get(principal.kind)?.delete(principal.name);
    if (principal === this.#last) this.#last = this.#lastPrincipal = undefined;
    this.#free.push({ counts: principal.other.counts, offset: principal.other.offset });
  }
}
