/**
 * What one process of an edge may hold leases of, as hashes: little enough to tell the other Cores, and wrong only by holding too
 * much.
 */
import { createHash } from "node:crypto";

export interface LeaseScope {
  readonly tenant: string;
  /** Without it any of the tenant's. */
  readonly service?: string | undefined;
}

/** More than that, and it may hold anything. A process of an edge asks for as many in the time of a lease, at most, by far. */
const MAX_SCOPES = 4_096;
const HASH_BYTES = 4;

export class LeaseScopes {
  readonly #leaseMs: number;
  /** When each was asked for last. */
  readonly #askedMs = new Map<number, number>();
  #anythingUntilMs = Number.NEGATIVE_INFINITY;

  /** @param leaseMs After so long a lease is over. */
  constructor(leaseMs: number) {
    this.#leaseMs = leaseMs;
  }

  /** Before the lease is made: what is noted after might be missed by who asks in between. */
  note(tenant: string, service: string, nowMs: number): void {
    this.#askedMs.set(scopeHash({ tenant }), nowMs);
    this.#askedMs.set(scopeHash({ tenant, service }), nowMs);
    if (this.#askedMs.size <= MAX_SCOPES) return;
    this.#prune(nowMs);
    if (this.#askedMs.size > MAX_SCOPES) this.#overflow(nowMs);
  }

  /** What was told before a restart, at that time. */
  recall(told: string | undefined, atMs: number): void {
    if (told === undefined) this.#overflow(atMs);
    else for (const hash of hashesIn(told)) this.#askedMs.set(hash, Math.max(atMs, this.#askedMs.get(hash) ?? 0));
  }

  /** For `mayHold`; undefined where it may hold anything. */
  told(nowMs: number): string | undefined {
    if (nowMs < this.#anythingUntilMs) return undefined;
    this.#prune(nowMs);
    const bytes = Buffer.alloc(this.#askedMs.size * HASH_BYTES);
    let at = 0;
    for (const hash of this.#askedMs.keys()) at = bytes.writeUInt32BE(hash, at);
    return bytes.toString("base64url");
  }

  #overflow(nowMs: number): void {
    this.#askedMs.clear();
    this.#anythingUntilMs = Math.max(this.#anythingUntilMs, nowMs + this.#leaseMs);
  }

  #prune(nowMs: number): void {
    for (const [hash, askedMs] of this.#askedMs) if (askedMs <= nowMs - this.#leaseMs) this.#askedMs.delete(hash);
  }
}

/** Whether what was told covers the scope of this hash. What is not known does. */
export function mayHold(told: string | undefined, sought: number): boolean {
  if (told === undefined) return true;
  for (const hash of hashesIn(told)) if (hash === sought) return true;
  return false;
}

/** Names have no slash. */
export function scopeHash({ tenant, service }: LeaseScope): number {
  return createHash("sha256")
    .update(service === undefined ? tenant : `${tenant}/${service}`)
    .digest()
    .readUInt32BE(0);
}

function* hashesIn(told: string): Generator<number> {
  const bytes = Buffer.from(told, "base64url");
  for (let at = 0; at + HASH_BYTES <= bytes.length; at += HASH_BYTES) yield bytes.readUInt32BE(at);
}
