/**
 * What one process of an edge may hold leases of, by hashes of names: little enough to tell the other Cores, and wrong only by holding
 * too much. `wait_for_edges` asks whom to wait for; the dry run of a revocation, whom it would hit.
 */
import { createHash } from "node:crypto";

export interface LeaseScope {
  readonly tenant: string;
  /** Without it any of the tenant's. */
  readonly service?: string | undefined;
}

/** More than that, and it may hold anything. A process of an edge asks for as many in the time of a lease, at most, by far. */
const MAX_SCOPES = 4_096;
/** Hash, when it was granted (seconds since 1970), the newest version, and a bit for each of the 32 from that one down. */
const ENTRY_BYTES = 16;
const VERSION_BITS = 32;

/** A scope that a process has asked for a lease of, and that it may have got. */
export interface Held {
  /** When it was asked for last. */
  askedMs: number;
  /** When it was granted last; 0 where it was not. */
  grantedMs: number;
  newest: number;
  versions: number;
}

/** What was told of one scope. */
export interface ToldLease {
  /** 0 where it was asked for and not granted. */
  readonly grantedMs: number;
  /** The newest first. */
  readonly versions: readonly number[];
}

export class HeldLeases {
  readonly #leaseMs: number;
  readonly #byHash = new Map<number, Held>();
  #anythingUntilMs = Number.NEGATIVE_INFINITY;

  /** @param leaseMs After so long a lease is over. */
  constructor(leaseMs: number) {
    this.#leaseMs = leaseMs;
  }

  /** Before the lease is made: what is noted after might be missed by who asks in between. Returns what `granted` takes. */
  asks(tenant: string, service: string, nowMs: number): readonly Held[] {
    const asked = [this.#entry(scopeHash({ tenant })), this.#entry(scopeHash({ tenant, service }))];
    for (const held of asked) held.askedMs = nowMs;
    if (this.#byHash.size > MAX_SCOPES) this.#prune(nowMs);
    if (this.#byHash.size > MAX_SCOPES) this.#overflow(nowMs);
    return asked;
  }

  /** After it: the versions that came. `alone`: a lease of one old version, beside that of the newest. */
  granted(asked: readonly Held[], versions: readonly number[], alone: boolean, nowMs: number): void {
    for (const [index, held] of asked.entries()) {
      const isOver = held.grantedMs <= nowMs - this.#leaseMs;
      // A tenant's, the first, are those of all its services.
      if (isOver || (!alone && index > 0)) held.versions = held.newest = 0;
      for (const version of versions) addVersion(held, version);
      held.grantedMs = nowMs;
    }
  }

  /** What was told before a restart, at that time. */
  recall(told: string | undefined, atMs: number): void {
    if (told === undefined) this.#overflow(atMs);
    for (const [hash, { grantedMs, versions }] of entriesIn(told ?? "")) {
      const held = this.#entry(hash);
      held.askedMs = Math.max(atMs, held.askedMs);
      held.grantedMs = Math.max(grantedMs, held.grantedMs);
      for (const version of versions) addVersion(held, version);
    }
  }

  /** For `toldLease`; undefined where it may hold anything. */
  told(nowMs: number): string | undefined {
    if (nowMs < this.#anythingUntilMs) return undefined;
    this.#prune(nowMs);
    const bytes = Buffer.alloc(this.#byHash.size * ENTRY_BYTES);
    let at = 0;
    for (const [hash, { grantedMs, newest, versions }] of this.#byHash) {
      at = bytes.writeUInt32BE(hash, at);
      at = bytes.writeUInt32BE(Math.floor(grantedMs / 1_000), at);
      at = bytes.writeUInt32BE(newest, at);
      at = bytes.writeUInt32BE(versions >>> 0, at);
    }
    return bytes.toString("base64url");
  }

  #entry(hash: number): Held {
    let held = this.#byHash.get(hash);
    if (held === undefined) {
      held = { askedMs: 0, grantedMs: 0, newest: 0, versions: 0 };
      this.#byHash.set(hash, held);
    }
    return held;
  }

  #overflow(nowMs: number): void {
    this.#byHash.clear();
    this.#anythingUntilMs = Math.max(this.#anythingUntilMs, nowMs + this.#leaseMs);
  }

  #prune(nowMs: number): void {
    for (const [hash, { askedMs }] of this.#byHash) if (askedMs <= nowMs - this.#leaseMs) this.#byHash.delete(hash);
  }
}

/** What was told of the scope with this hash; undefined where it was not asked for. `told` undefined: it may hold anything. */
export function toldLease(told: string, sought: number): ToldLease | undefined {
  for (const [hash, lease] of entriesIn(told)) if (hash === sought) return lease;
  return undefined;
}

/** Whether what was told covers the scope of this hash. What is not known does. */
export function mayHold(told: string | undefined, sought: number): boolean {
  return told === undefined || toldLease(told, sought) !== undefined;
}

/** Names have no slash. */
export function scopeHash({ tenant, service }: LeaseScope): number {
  return createHash("sha256")
    .update(service === undefined ? tenant : `${tenant}/${service}`)
    .digest()
    .readUInt32BE(0);
}

/** One that is 32 or more older than the newest is left out. */
function addVersion(held: Held, version: number): void {
  const newer = version - held.newest;
  if (newer > 0) {
    held.versions = newer < VERSION_BITS ? (held.versions << newer) | 1 : 1;
    held.newest = version;
  } else if (-newer < VERSION_BITS) held.versions |= 1 << -newer;
}

function* entriesIn(told: string): Generator<[number, ToldLease]> {
  const bytes = Buffer.from(told, "base64url");
  for (let at = 0; at + ENTRY_BYTES <= bytes.length; at += ENTRY_BYTES) {
    const newest = bytes.readUInt32BE(at + 8);
    const bits = bytes.readUInt32BE(at + 12);
    const versions: number[] = [];
    for (let bit = 0; bit < VERSION_BITS; bit++) if ((bits >>> bit) & 1) versions.push(newest - bit);
    yield [bytes.readUInt32BE(at), { grantedMs: bytes.readUInt32BE(at + 4) * 1_000, versions }];
  }
}
