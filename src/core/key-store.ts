/**
 * The Core's memory: tenants, services, service keys and the event log, in one SQLite database.
 *
 * A change of a key's state and its event are one transaction, so an event exists exactly if the change does, whenever
 * the process ends. Keys are wrapped: a service key (L3) under its tenant's key (L2), that under the master key.
 */
import { Database, type Statement } from "bun:sqlite";
import { randomBytes } from "node:crypto";
import { isName } from "../base/names.ts";
import { wipe } from "../base/wipe.ts";
import type { RevocationScope } from "../edge/cache/lease-cache.ts";
import type { LeasableState } from "../edge/key-source/key-source.ts";
import { CoreError } from "./core-error.ts";
import { unwrapKey, wrapKey } from "./envelope.ts";
import type { LoggedEvent } from "./events.ts";

export type KeyState = LeasableState | "compromised" | "destroyed";
/** Of a whole service or tenant: `active`, or cut off as one. */
export type ScopeState = "active" | "compromised" | "destroyed";

export interface VersionSummary {
  readonly version: number;
  readonly state: KeyState;
  readonly createdAt: string;
}

export interface ServiceSummary {
  readonly tenant: string;
  readonly service: string;
  readonly state: ScopeState;
  readonly versions: readonly VersionSummary[];
}

export interface TenantSummary {
  readonly tenant: string;
  readonly state: ScopeState;
  readonly services: number;
  readonly createdAt: string;
}

/** A service key in the clear, for as long as a lease is being made. */
export interface OpenedVersion {
  readonly version: number;
  readonly state: LeasableState;
  /** 32 bytes; whoever called `openVersions` wipes them. */
  readonly key: Uint8Array;
}

export interface KeyStoreOptions {
  /** A path, or `:memory:`. */
  readonly database: string;
  /** 32 bytes. Copied; the caller wipes its own. */
  readonly masterKey: Uint8Array;
  /** How many events are kept for edges that resume. */
  readonly retainedEvents?: number;
  readonly now: () => number;
  /** Called synchronously after the commit of each event, in order. Never throws. */
  readonly onEvent?: (event: LoggedEvent) => void;
}

const SCHEMA_VERSION = 1;
const KEY_BYTES = 32;
const CHECK = Buffer.from("crypto-edge core");
const MAX_VERSION = 2 ** 32 - 1;
export const DEFAULT_RETAINED_EVENTS = 100_000;

const SCHEMA = `
CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE tenants (
  tenant TEXT PRIMARY KEY, state TEXT NOT NULL, l2 BLOB, created_at TEXT NOT NULL
) STRICT;
CREATE TABLE services (
  tenant TEXT NOT NULL REFERENCES tenants, service TEXT NOT NULL, state TEXT NOT NULL, created_at TEXT NOT NULL,
  PRIMARY KEY (tenant, service)
) STRICT;
CREATE TABLE service_keys (
  tenant TEXT NOT NULL, service TEXT NOT NULL, version INTEGER NOT NULL, state TEXT NOT NULL,
  -- what a compromised version goes back to when it is restored
  state_before TEXT, l3 BLOB, created_at TEXT NOT NULL, changed_at TEXT NOT NULL,
  PRIMARY KEY (tenant, service, version), FOREIGN KEY (tenant, service) REFERENCES services
) STRICT;
CREATE UNIQUE INDEX one_active_version ON service_keys (tenant, service) WHERE state = 'active';
CREATE TABLE events (seq INTEGER PRIMARY KEY, event TEXT NOT NULL) STRICT;
CREATE TABLE signing_keys (
  kid TEXT PRIMARY KEY, public_key BLOB NOT NULL, private_key BLOB NOT NULL, created_at TEXT NOT NULL, retired_at TEXT
) STRICT;
CREATE TABLE usage_batches (
  edge TEXT NOT NULL, idempotency_key TEXT NOT NULL, digest BLOB NOT NULL, records INTEGER NOT NULL,
  received_at TEXT NOT NULL, PRIMARY KEY (edge, idempotency_key)
) STRICT;
CREATE INDEX usage_batches_by_time ON usage_batches (received_at);
CREATE TABLE usage_counts (
  edge TEXT NOT NULL, tenant TEXT NOT NULL, service TEXT NOT NULL, version INTEGER NOT NULL, operation TEXT NOT NULL,
  outcome TEXT NOT NULL, principal TEXT NOT NULL, count INTEGER NOT NULL, first_at TEXT NOT NULL, last_at TEXT NOT NULL,
  PRIMARY KEY (edge, tenant, service, version, operation, outcome, principal)
) STRICT;
CREATE TABLE audit_events (
  id INTEGER PRIMARY KEY, edge TEXT NOT NULL, received_at TEXT NOT NULL, event TEXT NOT NULL
) STRICT;
`;

interface KeyRow {
  readonly version: number;
  readonly state: LeasableState;
  readonly l3: Uint8Array;
}

export class KeyStore {
  /** For the parts of the Core that keep their own tables here (usage, signing keys). */
  readonly db: Database;
  /** Names this history; new with each database. */
  readonly log: string;
  readonly #masterKey: Uint8Array;
  readonly #retainedEvents: number;
  readonly #now: () => number;
  readonly #onEvent: (event: LoggedEvent) => void;
  readonly #scopeOf: Statement<
    { tenant_state: ScopeState; service_state: ScopeState; l2: Uint8Array | null },
    [string, string]
  >;
  readonly #leasable: Statement<KeyRow, [string, string, number]>;
  readonly #oneVersion: Statement<
    { version: number; state: KeyState; l3: Uint8Array | null },
    [string, string, number]
  >;
  readonly #eventsAfter: Statement<{ event: string }, [number, number]>;
  #lastSeq: number;
  #oldestSeq: number;

  /** @throws Error with a sentence that says what to do, where the database can't be used with this master key. */
  constructor(options: KeyStoreOptions) {
    if (options.masterKey.length !== KEY_BYTES) throw new RangeError("the master key must have 32 bytes");
    this.#masterKey = Uint8Array.from(options.masterKey);
    this.#retainedEvents = Math.max(1, options.retainedEvents ?? DEFAULT_RETAINED_EVENTS);
    this.#now = options.now;
    this.#onEvent = options.onEvent ?? (() => undefined);
    this.db = openDatabase(options.database);
    try {
      this.log = this.#initialise(options.database);
      this.#checkMasterKey(options.database);
      this.#lastSeq = this.#meta<number>("last_seq") ?? 0;
      const oldest = this.db.query<{ seq: number | null }, []>("SELECT min(seq) AS seq FROM events").get();
      this.#oldestSeq = oldest?.seq ?? this.#lastSeq + 1;
      this.#scopeOf = this.db.query(
        `SELECT t.state AS tenant_state, s.state AS service_state, t.l2 FROM services s JOIN tenants t USING (tenant)
         WHERE s.tenant = ? AND s.service = ?`,
      );
      this.#leasable = this.db.query(
        `SELECT version, state, l3 FROM service_keys WHERE tenant = ? AND service = ?
         AND state IN ('active', 'deprecated') ORDER BY state = 'active' DESC, version DESC LIMIT ?`,
      );
      this.#oneVersion = this.db.query(
        "SELECT version, state, l3 FROM service_keys WHERE tenant = ? AND service = ? AND version = ?",
      );
      this.#eventsAfter = this.db.query("SELECT event FROM events WHERE seq > ? ORDER BY seq LIMIT ?");
    } catch (error) {
      this.db.close();
      throw error;
    }
  }

  /** The newest event's number; 0 before the first. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** The oldest event still kept; one above `lastSeq` where none is. */
  get oldestSeq(): number {
    return this.#oldestSeq;
  }

  eventsAfter(seq: number, limit: number): LoggedEvent[] {
    return this.#eventsAfter.all(seq, limit).map((row) => JSON.parse(row.event) as LoggedEvent);
  }

  createTenant(tenant: string): void {
    requireName("tenant", tenant);
    if (this.#tenantState(tenant) !== undefined) {
      throw new CoreError("conflict", `the tenant ${tenant} exists already`);
    }
    this.#insertTenant(tenant);
  }

  /** Makes the service with version 1 active, and its tenant where that is new. */
  createService(tenant: string, service: string): void {
    requireName("tenant", tenant);
    requireName("service", service);
    this.#transaction(() => {
      const state = this.#tenantState(tenant);
      if (state === undefined) this.#insertTenant(tenant);
      else if (state !== "active") throw revokedScope(`the tenant ${tenant}`, state);
      if (this.#scopeOf.get(tenant, service) !== null) {
        throw new CoreError("conflict", `the service ${tenant}/${service} exists already`);
      }
      this.db
        .query("INSERT INTO services (tenant, service, state, created_at) VALUES (?, ?, 'active', ?)")
        .run(tenant, service, this.#at());
      this.#insertVersion(tenant, service, 1);
    });
  }

  /**
   * The versions of one lease, opened: the active one and up to `deprecated` older ones, or the one asked for.
   *
   * @throws CoreError `key_not_found`, `key_revoked`
   */
  openVersions(tenant: string, service: string, version: number | undefined, deprecated: number): OpenedVersion[] {
    const scope = this.#scopeOf.get(tenant, service);
    if (scope === null) throw new CoreError("key_not_found", `there is no service ${tenant}/${service} at this Core`);
    const { tenant_state: tenantState, service_state: serviceState, l2: wrappedL2 } = scope;
    const blocked = worse(tenantState, serviceState);
    let rows: KeyRow[];
    if (version === undefined) {
      if (blocked !== "active") throw this.#revoked(tenant, service, blocked);
      rows = this.#leasable.all(tenant, service, deprecated + 1);
      if (rows[0]?.state !== "active") {
        throw this.#revoked(tenant, service, undefined);
      }
    } else {
      const row = this.#oneVersion.get(tenant, service, version);
      if (row === null) {
        throw new CoreError("key_not_found", `there is no version ${version} of ${tenant}/${service} at this Core`);
      }
      const state = blocked === "active" ? row.state : worse(blocked, row.state);
      if ((state !== "active" && state !== "deprecated") || row.l3 === null) {
        throw new CoreError("key_revoked", `version ${version} of ${tenant}/${service} is ${state}`, {
          details: { states: [{ version, state }] },
        });
      }
      rows = [{ version, state, l3: row.l3 }];
    }
    if (wrappedL2 === null) throw new CoreError("key_revoked", `the tenant ${tenant} is destroyed`);
    const l2 = unwrapKey(this.#masterKey, ["l2", tenant], wrappedL2);
    try {
      return rows.map((row) => ({
        version: row.version,
        state: row.state,
        key: unwrapKey(l2, ["l3", tenant, service, String(row.version)], row.l3),
      }));
    } finally {
      wipe(l2);
    }
  }

  /** Makes a new active version; the older one turns deprecated. */
  rotate(tenant: string, service: string): LoggedEvent {
    return this.#change(() => this.#rotateWithin(tenant, service));
  }

  /**
   * Cuts off a version, a service or a tenant. `compromised` can be restored, `destroyed` cannot: its keys are erased.
   * With `rotate`, a version's service gets a new active version in the same transaction.
   */
  revoke(
    scope: RevocationScope,
    state: "compromised" | "destroyed",
    reason: string,
    options: { readonly rotate?: boolean } = {},
  ): LoggedEvent[] {
    const events = this.#changes(() => {
      this.#requireScope(scope);
      if (scope.version !== undefined) this.#revokeVersion(scope, state);
      else this.#revokeScope(scope, state);
      const at = this.#at();
      const revoked: LoggedEvent = { type: "revoke", log: this.log, seq: this.#nextSeq(), at, ...scope, state, reason };
      this.#append(revoked);
      if (options.rotate !== true) return [revoked];
      if (scope.service === undefined || scope.version === undefined) {
        throw new CoreError("invalid_request", "only the revocation of one version can make a new one at once");
      }
      return [revoked, this.#rotateWithin(scope.tenant, scope.service)];
    });
    // What was erased must not live on in the write-ahead log.
    if (state === "destroyed") this.db.run("PRAGMA wal_checkpoint(TRUNCATE)");
    return events;
  }

  /** Lifts a revocation, where the keys are still there. The scope is the one that was revoked. */
  restore(scope: RevocationScope): LoggedEvent {
    return this.#change(() => {
      this.#requireScope(scope);
      if (scope.version !== undefined) this.#restoreVersion(scope);
      else this.#restoreScope(scope);
      const event: LoggedEvent = { type: "restore", log: this.log, seq: this.#nextSeq(), at: this.#at(), ...scope };
      this.#append(event);
      return event;
    });
  }

  tenants(): TenantSummary[] {
    return this.db
      .query<{ tenant: string; state: ScopeState; services: number; created_at: string }, []>(
        `SELECT tenant, state, created_at, (SELECT count(*) FROM services s WHERE s.tenant = t.tenant) AS services
         FROM tenants t ORDER BY tenant`,
      )
      .all()
      .map(({ tenant, state, services, created_at }) => ({ tenant, state, services, createdAt: created_at }));
  }

  services(tenant: string): ServiceSummary[] {
    if (this.#tenantState(tenant) === undefined) throw noTenant(tenant);
    const services = this.db
      .query<{ service: string; state: ScopeState }, [string]>(
        "SELECT service, state FROM services WHERE tenant = ? ORDER BY service",
      )
      .all(tenant);
    const versions = this.db.query<{ version: number; state: KeyState; created_at: string }, [string, string]>(
      "SELECT version, state, created_at FROM service_keys WHERE tenant = ? AND service = ? ORDER BY version",
    );
    return services.map(({ service, state }) => ({
      tenant,
      service,
      state,
      versions: versions
        .all(tenant, service)
        .map((row) => ({ version: row.version, state: row.state, createdAt: row.created_at })),
    }));
  }

  /** Wraps a secret of the Core's own under the master key; opens it again. */
  wrapOwn(name: string, secret: Uint8Array): Uint8Array {
    return wrapKey(this.#masterKey, ["signing", name], secret);
  }

  unwrapOwn(name: string, wrapped: Uint8Array): Uint8Array {
    return unwrapKey(this.#masterKey, ["signing", name], wrapped);
  }

  close(): void {
    wipe(this.#masterKey);
    this.db.close();
  }

  #rotateWithin(tenant: string, service: string): LoggedEvent {
    const scope = this.#scopeOf.get(tenant, service);
    if (scope === null) throw noService(tenant, service);
    const blocked = worse(scope.tenant_state, scope.service_state);
    if (blocked !== "active") {
      throw revokedScope(
        scope.tenant_state === "active" ? `the service ${tenant}/${service}` : `the tenant ${tenant}`,
        blocked,
      );
    }
    const newest = this.db
      .query<{ version: number }, [string, string]>(
        "SELECT max(version) AS version FROM service_keys WHERE tenant = ? AND service = ?",
      )
      .get(tenant, service);
    const version = (newest?.version ?? 0) + 1;
    if (version > MAX_VERSION) throw new CoreError("conflict", `${tenant}/${service} has used up its versions`);
    this.db
      .query(
        `UPDATE service_keys SET state = 'deprecated', changed_at = ?
         WHERE tenant = ? AND service = ? AND state = 'active'`,
      )
      .run(this.#at(), tenant, service);
    this.#insertVersion(tenant, service, version);
    const event: LoggedEvent = {
      type: "rotate",
      log: this.log,
      seq: this.#nextSeq(),
      at: this.#at(),
      tenant,
      service,
      version,
    };
    this.#append(event);
    return event;
  }

  #revokeVersion(scope: RevocationScope, state: "compromised" | "destroyed"): void {
    const { tenant, service = "", version = 0 } = scope;
    const row = this.#oneVersion.get(tenant, service, version);
    if (row === null) throw new CoreError("key_not_found", `there is no version ${version} of ${tenant}/${service}`);
    if (row.state === "destroyed" || row.state === state) {
      throw new CoreError("conflict", `version ${version} of ${tenant}/${service} is ${row.state} already`);
    }
    if (state === "destroyed") {
      this.db
        .query(
          `UPDATE service_keys SET state = 'destroyed', state_before = NULL, l3 = NULL, changed_at = ?
           WHERE tenant = ? AND service = ? AND version = ?`,
        )
        .run(this.#at(), tenant, service, version);
    } else {
      this.db
        .query(
          `UPDATE service_keys SET state_before = state, state = 'compromised', changed_at = ?
           WHERE tenant = ? AND service = ? AND version = ?`,
        )
        .run(this.#at(), tenant, service, version);
    }
  }

  #revokeScope(scope: RevocationScope, state: "compromised" | "destroyed"): void {
    const { tenant, service } = scope;
    const current =
      service === undefined ? this.#tenantState(tenant) : this.#scopeOf.get(tenant, service)?.service_state;
    const what = service === undefined ? `the tenant ${tenant}` : `the service ${tenant}/${service}`;
    if (current === "destroyed" || current === state) throw new CoreError("conflict", `${what} is ${current} already`);
    const at = this.#at();
    if (service === undefined) {
      this.db.query("UPDATE tenants SET state = ? WHERE tenant = ?").run(state, tenant);
      if (state !== "destroyed") return;
      this.db.query("UPDATE tenants SET l2 = NULL WHERE tenant = ?").run(tenant);
      this.db.query("UPDATE services SET state = 'destroyed' WHERE tenant = ?").run(tenant);
      this.db
        .query(
          "UPDATE service_keys SET state = 'destroyed', state_before = NULL, l3 = NULL, changed_at = ? WHERE tenant = ?",
        )
        .run(at, tenant);
      return;
    }
    this.db.query("UPDATE services SET state = ? WHERE tenant = ? AND service = ?").run(state, tenant, service);
    if (state !== "destroyed") return;
    this.db
      .query(
        `UPDATE service_keys SET state = 'destroyed', state_before = NULL, l3 = NULL, changed_at = ?
         WHERE tenant = ? AND service = ?`,
      )
      .run(at, tenant, service);
  }

  #restoreVersion(scope: RevocationScope): void {
    const { tenant, service = "", version = 0 } = scope;
    const row = this.#oneVersion.get(tenant, service, version);
    if (row === null) throw new CoreError("key_not_found", `there is no version ${version} of ${tenant}/${service}`);
    if (row.state !== "compromised") throw notRestorable(`version ${version} of ${tenant}/${service}`, row.state);
    // It becomes the active one again only where no other has taken its place.
    this.db
      .query(
        `UPDATE service_keys SET state_before = NULL, changed_at = ?1,
           state = CASE WHEN state_before = 'active' AND NOT EXISTS (
             SELECT 1 FROM service_keys o WHERE o.tenant = ?2 AND o.service = ?3 AND o.state = 'active'
           ) THEN 'active' ELSE 'deprecated' END
         WHERE tenant = ?2 AND service = ?3 AND version = ?4`,
      )
      .run(this.#at(), tenant, service, version);
  }

  #restoreScope(scope: RevocationScope): void {
    const { tenant, service } = scope;
    if (service === undefined) {
      const state = this.#tenantState(tenant);
      if (state !== "compromised") throw notRestorable(`the tenant ${tenant}`, state ?? "unknown");
      this.db.query("UPDATE tenants SET state = 'active' WHERE tenant = ?").run(tenant);
      return;
    }
    const state = this.#scopeOf.get(tenant, service)?.service_state;
    if (state !== "compromised") throw notRestorable(`the service ${tenant}/${service}`, state ?? "unknown");
    this.db.query("UPDATE services SET state = 'active' WHERE tenant = ? AND service = ?").run(tenant, service);
  }

  #requireScope(scope: RevocationScope): void {
    const { tenant, service, version } = scope;
    if (version !== undefined && service === undefined) {
      throw new CoreError("invalid_request", "a version belongs to a service: name the service too");
    }
    if (this.#tenantState(tenant) === undefined) throw noTenant(tenant);
    if (service !== undefined && this.#scopeOf.get(tenant, service) === null) throw noService(tenant, service);
  }

  #revoked(tenant: string, service: string, blocked: ScopeState | undefined): CoreError {
    const versions = this.services(tenant).find((one) => one.service === service)?.versions ?? [];
    const states = versions.map(({ version, state }) => ({ version, state }));
    return new CoreError(
      "key_revoked",
      blocked === undefined
        ? `${tenant}/${service} has no active version: rotate it at the Core`
        : `${tenant}/${service} is ${blocked}`,
      { details: { states: states.slice(-100) } },
    );
  }

  #tenantState(tenant: string): ScopeState | undefined {
    return (
      this.db.query<{ state: ScopeState }, [string]>("SELECT state FROM tenants WHERE tenant = ?").get(tenant)?.state ??
      undefined
    );
  }

  #insertTenant(tenant: string): void {
    const l2 = randomBytes(KEY_BYTES);
    this.db
      .query("INSERT INTO tenants (tenant, state, l2, created_at) VALUES (?, 'active', ?, ?)")
      .run(tenant, wrapKey(this.#masterKey, ["l2", tenant], l2), this.#at());
    wipe(l2);
  }

  #insertVersion(tenant: string, service: string, version: number): void {
    const wrapped = this.#scopeOf.get(tenant, service)?.l2;
    if (wrapped === null || wrapped === undefined) throw revokedScope(`the tenant ${tenant}`, "destroyed");
    const l2 = unwrapKey(this.#masterKey, ["l2", tenant], wrapped);
    const l3 = randomBytes(KEY_BYTES);
    const at = this.#at();
    this.db
      .query(
        `INSERT INTO service_keys (tenant, service, version, state, l3, created_at, changed_at)
         VALUES (?, ?, ?, 'active', ?, ?, ?)`,
      )
      .run(tenant, service, version, wrapKey(l2, ["l3", tenant, service, String(version)], l3), at, at);
    wipe(l2);
    wipe(l3);
  }

  /** The number of the event being made: counted on only once its transaction has been committed. */
  #nextSeq(): number {
    return (this.#meta<number>("last_seq") ?? 0) + 1;
  }

  #append(event: LoggedEvent): void {
    this.db.query("INSERT INTO events (seq, event) VALUES (?, ?)").run(event.seq, JSON.stringify(event));
    this.db.query("UPDATE meta SET value = ? WHERE name = 'last_seq'").run(event.seq);
    this.db.query("DELETE FROM events WHERE seq <= ?").run(event.seq - this.#retainedEvents);
  }

  #change(body: () => LoggedEvent): LoggedEvent {
    const [event] = this.#changes(() => [body()]);
    if (event === undefined) throw new Error("a change made no event");
    return event;
  }

  /** One transaction; its events are told once it is committed. */
  #changes(body: () => LoggedEvent[]): LoggedEvent[] {
    const events = this.#transaction(body);
    for (const event of events) {
      this.#lastSeq = event.seq;
      this.#oldestSeq = Math.max(Math.min(this.#oldestSeq, event.seq), event.seq - this.#retainedEvents + 1);
      this.#onEvent(event);
    }
    return events;
  }

  #transaction<T>(body: () => T): T {
    return this.db.transaction(body).immediate();
  }

  #meta<T>(name: string): T | undefined {
    return this.db.query<{ value: T }, [string]>("SELECT value FROM meta WHERE name = ?").get(name)?.value;
  }

  #at(): string {
    return new Date(this.#now()).toISOString();
  }

  #initialise(path: string): string {
    const version = this.db.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version ?? 0;
    if (version > SCHEMA_VERSION) {
      throw new Error(`the database ${path} was made by a newer crypto-edge: use that version to open it`);
    }
    if (version === 0) {
      this.#transaction(() => {
        this.db.run(SCHEMA);
        const insert = this.db.query("INSERT INTO meta (name, value) VALUES (?, ?)");
        insert.run("log", randomBytes(16).toString("hex"));
        insert.run("last_seq", 0);
        insert.run("check", wrapKey(this.#masterKey, ["check"], CHECK));
        this.db.run(`PRAGMA user_version = ${SCHEMA_VERSION}`);
      });
    }
    const log = this.#meta<string>("log");
    if (log === undefined) throw new Error(`the database ${path} is not a Core's: it names no event log`);
    return log;
  }

  #checkMasterKey(path: string): void {
    const check = this.#meta<Uint8Array>("check");
    try {
      unwrapKey(this.#masterKey, ["check"], check ?? new Uint8Array());
    } catch {
      throw new Error(`the master key does not fit the database ${path}: give the key that it was made with`);
    }
  }
}

function openDatabase(path: string): Database {
  try {
    const db = new Database(path, { create: true, strict: true });
    // Exclusive: the sequence numbers of an event log have one writer.
    db.run("PRAGMA locking_mode = EXCLUSIVE");
    db.run("PRAGMA journal_mode = WAL");
    db.run("PRAGMA synchronous = FULL");
    db.run("PRAGMA foreign_keys = ON");
    db.run("PRAGMA secure_delete = ON");
    db.run("BEGIN IMMEDIATE");
    db.run("COMMIT");
    return db;
  } catch (error) {
    const { code = "", message = "" } = error as { code?: string; message?: string };
    if (code.startsWith("SQLITE_BUSY")) {
      throw new Error(`the database ${path} is in use by another Core: stop that one, or give another --database`);
    }
    throw new Error(`the database ${path} can't be opened (${message}): check the path and its permissions`);
  }
}

const BADNESS = { active: 0, deprecated: 0, compromised: 1, destroyed: 2 } as const;

function worse<A extends KeyState, B extends KeyState>(one: A, other: B): A | B {
  return BADNESS[one] > BADNESS[other] ? one : other;
}

function requireName(what: string, name: string): void {
  if (!isName(name)) {
    throw new CoreError(
      "invalid_request",
      `the ${what}'s name must have 1 to 128 of A-Z a-z 0-9 . _ : - and begin with a letter or digit`,
    );
  }
}

function noTenant(tenant: string): CoreError {
  return new CoreError("key_not_found", `there is no tenant ${tenant} at this Core`);
}

function noService(tenant: string, service: string): CoreError {
  return new CoreError("key_not_found", `there is no service ${tenant}/${service} at this Core`);
}

function revokedScope(what: string, state: string): CoreError {
  return new CoreError(
    "key_revoked",
    state === "compromised" ? `${what} is compromised: restore it first` : `${what} is ${state}`,
  );
}

function notRestorable(what: string, state: string): CoreError {
  return new CoreError(
    "conflict",
    state === "destroyed" ? `${what} is destroyed: its keys are gone for good` : `${what} is ${state}, not compromised`,
  );
}
