/**
 * The Core's memory as a port: tenants, services, service keys, the event log, signing keys. Adapters: SQLite (embedded)
 * and PostgreSQL (several Cores share it). `test/core/store-contract.ts` tests the text of this contract.
 *
 * - **`change` is one transaction.** All of it is committed, written through to the disk, or nothing is, whenever the
 *   process ends. Changes are in one order, over all Cores of a store: the next begins after the last has ended.
 * - **The event log has no holes.** `appendEvent` takes the next number inside the change; a change that is not committed
 *   uses up none. Whoever reads number n can read every number before it (down to `oldestSeq`).
 * - **A read is one snapshot** of what is committed; never of a change that is under way. A long list (`tenants`, `services`, `eventsAfter`) is
 *   read in parts with everyone else's calls in between, each part one snapshot. `leasable` reads keys, states and
 *   the log's newest number in *one* snapshot: the number in a lease then counts every revocation that its states show.
 * - **Time-outs and absence.** Every call ends within the adapter's time limit. Where the store can't be reached it
 *   rejects with `StoreUnavailable`, at once after the first such failure; where its disk is full, with `StoreFull`. After a
 *   `StoreUnavailable` of `change`, whether it was committed is unknown; the event log tells.
 * - Keys are wrapped here, always: the store never sees one in the clear. Byte arrays that it returns are the caller's.
 */
import type { LoggedEvent } from "../protocol/events.ts";
import type { KeyState, LeasableState, ScopeState, ServiceSummary, TenantSummary } from "../protocol/key-state.ts";
import type { UsageTables } from "./usage-tables.ts";

export interface LogPosition {
  /** Names this history: new with each database, and after each restore. */
  readonly log: string;
  /** The newest event's number; 0 before the first. */
  readonly lastSeq: number;
  /** The oldest event still kept; one above `lastSeq` where none is. */
  readonly oldestSeq: number;
}

export interface VersionRow {
  readonly version: number;
  readonly state: KeyState;
  /** L3 under L2; null once destroyed. */
  readonly wrappedKey: Uint8Array | null;
}

export interface VersionState {
  readonly version: number;
  readonly state: KeyState;
}

export interface ServiceRow {
  readonly tenantState: ScopeState;
  readonly state: ScopeState;
  /** L2 under the master key; null once the tenant is destroyed. */
  readonly wrappedTenantKey: Uint8Array | null;
  /** Versions that a restored backup doesn't have, though edges or blobs may: both included. */
  readonly lost: { readonly from: number; readonly to: number } | undefined;
}

export interface LeasableRows extends ServiceRow {
  /** The log as of these states. */
  readonly log: string;
  readonly lastSeq: number;
  /** The active version first, then the newest; or the one that was asked for, whatever its state. */
  readonly versions: readonly VersionRow[];
}

export interface SigningKeyRow {
  readonly kid: string;
  /** SPKI, DER. */
  readonly publicKey: Uint8Array;
  /** PKCS #8, DER, under the master key. */
  readonly wrappedPrivateKey: Uint8Array;
  readonly retiredAt: string | undefined;
}

/** What a Core tells the others of itself, and of the edges that call it. */
export interface CorePresence {
  readonly core: string;
  readonly seenAt: string;
  readonly version: string;
  /** Ids of the master keys that it holds. */
  readonly masterKeys: readonly string[];
  /**
   * The newest event that it had heard of when it told all that it knew; `TOLD_ALL` of one that has stopped, undefined of one of
   * an older version.
   */
  readonly seq?: number | undefined;
}

/** Says of a Core that it was stopped, and will know no more than it has told. */
export const TOLD_ALL = Number.MAX_SAFE_INTEGER;

/** One process of an edge. It holds leases of its own. */
export interface EdgeInstance {
  /** Random, of its own making; empty where it names none. */
  readonly id: string;
  readonly seenAt: string;
  /** How far it has applied the events; absent while it has confirmed nothing. */
  readonly applied?: { readonly log: string; readonly seq: number };
  /** What it may hold leases of (`HeldLeases`); absent where that is anything. */
  readonly leases?: string;
}

export interface EdgePresence {
  readonly edge: string;
  readonly core: string;
  readonly lastSeenAt: string;
  readonly leaseCalls: number;
  /** Of them, those since the last time it was told. */
  readonly recentCalls: number;
  readonly usageBatches: number;
  readonly streams: number;
  /** The newest event written to its stream that is furthest behind; undefined without a stream. */
  readonly seq: number | undefined;
  readonly version: string | undefined;
  readonly certificateEndsAt: string | undefined;
  /** Those that were seen lately; undefined where a Core of an older version has told of the edge. */
  readonly instances: readonly EdgeInstance[] | undefined;
}

/** An order of another system that was carried out. */
export interface DoneOrder {
  /** When it was given first, ISO 8601. */
  readonly at: string;
  /** The numbers of its events. */
  readonly seqs: readonly number[];
}

export interface StoreReader {
  /** With `seq`, the event of that number too, where it is kept: whoever has told it sees whether it is the same still. */
  position(seq?: number): Promise<LogPosition & { readonly event?: LoggedEvent }>;
  /** In order, from `seq` + 1. */
  eventsAfter(seq: number, limit: number): Promise<LoggedEvent[]>;
  tenantState(tenant: string): Promise<ScopeState | undefined>;
  service(tenant: string, service: string): Promise<ServiceRow | undefined>;
  version(tenant: string, service: string, version: number): Promise<VersionRow | undefined>;
  /** The number that the service's next version takes. */
  nextVersion(tenant: string, service: string): Promise<number>;
  /** By name. */
  tenants(): Promise<TenantSummary[]>;
  services(tenant: string): Promise<ServiceSummary[]>;
  /** The newest versions, at most `limit` of them, by their number. */
  newestStates(tenant: string, service: string, limit: number): Promise<VersionState[]>;
  /** The newest first. */
  signingKeys(): Promise<SigningKeyRow[]>;
  setting(name: string): Promise<Uint8Array | undefined>;
  /** Tenants after `after` by name, with their wrapped keys. */
  tenantKeys(after: string, limit: number): Promise<{ tenant: string; wrappedKey: Uint8Array }[]>;
}

/** One change under way. Its calls are of no use after its body has ended. */
export interface StoreChange extends StoreReader {
  insertTenant(tenant: string, wrappedKey: Uint8Array, at: string): Promise<void>;
  setTenantKey(tenant: string, wrappedKey: Uint8Array): Promise<void>;
  setTenantState(tenant: string, state: "active" | "compromised"): Promise<void>;
  /** Erases its key and those of all its services. */
  destroyTenant(tenant: string, at: string): Promise<void>;
  insertService(tenant: string, service: string, at: string): Promise<void>;
  setServiceState(tenant: string, service: string, state: "active" | "compromised"): Promise<void>;
  /** Erases the keys of all its versions. */
  destroyService(tenant: string, service: string, at: string): Promise<void>;
  /** The new active version; the active one before turns deprecated. */
  insertVersion(tenant: string, service: string, version: number, wrappedKey: Uint8Array, at: string): Promise<void>;
  setVersionState(
    tenant: string,
    service: string,
    version: number,
    state: Exclude<KeyState, LeasableState>,
    at: string,
  ): Promise<void>;
  /** From compromised to what it was, but never to a second active version. */
  restoreVersion(tenant: string, service: string, version: number, at: string): Promise<void>;
  /** Takes the next number. The event is told to nobody before the change is committed. */
  appendEvent(make: (log: string, seq: number) => LoggedEvent): Promise<LoggedEvent>;
  /** Every other key retires at `at`; those that retired before `forgetBefore` go. */
  insertSigningKey(key: Omit<SigningKeyRow, "retiredAt">, at: string, forgetBefore: string): Promise<void>;
  setSigningKey(kid: string, wrappedPrivateKey: Uint8Array): Promise<void>;
  setSetting(name: string, value: Uint8Array): Promise<void>;
  /** What an order came to; undefined where it was not carried out, or is forgotten. */
  doneOrder(id: string): Promise<DoneOrder | undefined>;
  /** Remembers an order; with `kept` for ever. */
  insertDoneOrder(id: string, done: DoneOrder, kept: boolean): Promise<void>;
  /** Forgets the orders given before this ISO time that are not kept. */
  forgetDoneOrders(before: string): Promise<void>;
  /** A new history: another log, its numbers going on, its events gone; every service's versions go on `margin` higher. */
  beginHistory(log: string, versionMargin: number): Promise<void>;
}

export interface Store extends StoreReader {
  readonly kind: "sqlite" | "postgresql";
  /** What logs call it; names no password. */
  readonly name: string;
  /** Usage, audit and presence: in tables of their own, whose writers never hold up a change. */
  readonly usage: UsageTables;
  /** Keys, states and the log's newest number in one snapshot; undefined where there is no such service. */
  leasable(
    tenant: string,
    service: string,
    version: number | undefined,
    limit: number,
  ): Promise<LeasableRows | undefined>;
  change<T>(body: (change: StoreChange) => Promise<T>): Promise<T>;
  /** The time that all Cores of the store share, in milliseconds since 1970: their own clocks may be apart. */
  nowMs(): Promise<number>;
  /** Erases what was deleted from the files that held it, as far as the store can. */
  erase(): Promise<void>;
  /** Calls `listener` when another process may have committed events: soon, not surely. Whoever must be sure polls too. */
  onCommit(listener: () => void): void;
  /** Whether tables were brought up to date as it was opened. */
  readonly migrated: boolean;
  /** Other programs that use the same database now, as it lists them. */
  others(): Promise<readonly string[]>;
  /** Whether the store answers: the last call's outcome. */
  readonly health: StoreHealth;
  /** After what is under way. May be called twice. */
  close(): Promise<void>;
}

export interface StoreHealth {
  /** Why it does not; undefined while it does. */
  readonly away: string | undefined;
  /**
   * Why this process must not go on with it until it is started again: the database's file was moved or replaced, or the tables are
   * those of a newer program. Every call rejects with `StoreUnfit` then.
   */
  readonly unfit: string | undefined;
  /** Why a revocation may soon find no room; undefined while there is. */
  readonly full: string | undefined;
  /** Why events of other Cores are told a second late, by polling; undefined while they are told at once. */
  readonly late: string | undefined;
}

export class StoreUnavailable extends Error {
  override readonly name: string = "StoreUnavailable";
}

/** This process must not go on with the store, though the store may well answer (`StoreHealth.unfit`). */
export class StoreUnfit extends StoreUnavailable {
  override readonly name = "StoreUnfit";
}

/** Another program has the database, and this one can't share it. The message names it where the database can. */
export class DatabaseInUse extends Error {
  override readonly name = "DatabaseInUse";
}

export class StoreFull extends Error {
  override readonly name = "StoreFull";
}
