/**
 * What must not be used: the scopes that applied revocations name, until a `restore` lifts them. Bounded.
 *
 * The newest event that covers a version decides, so the table is the same in whatever order the events came. One
 * exception, on the side of refusing: a destroyed scope is lifted only by a `restore` that names it or a part of it,
 * since a `restore` of something wider speaks of what the Core still has.
 */
import type { RevocationScope } from "../cache/lease-cache.ts";
import { scopeOf } from "./scope.ts";

export interface BlocksOptions {
  /** How many scopes are remembered. */
  readonly maxScopes: number;
  /**
   * A scope is about to be forgotten, lifted or for want of room. Every lease answered before `seq` must be refused from
   * now on, for the table no longer knows which ones; later answers are the Core's own word.
   */
  readonly onForget: (seq: number) => void;
}

/** The newest event about exactly one scope. */
interface Mark {
  readonly scope: RevocationScope;
  readonly seq: number;
  /** False: a `restore` inside a wider block. */
  readonly blocks: boolean;
  readonly destroyed: boolean;
  /** Whether events were lost since, a `restore` perhaps: the Core is asked again, and only its own answer is believed. */
  stale: boolean;
}

interface ServiceMarks {
  mark: Mark | undefined;
  /** Of versions by themselves; made with the first. */
  versions: Map<number, Mark> | undefined;
  /** The newest revocation of the service or any version of it. */
  barrier: number;
}

interface TenantMarks {
  mark: Mark | undefined;
  readonly services: Map<string, ServiceMarks>;
  /** The newest revocation of the whole tenant. */
  barrier: number;
}

export class Blocks {
  readonly #tenants = new Map<string, TenantMarks>();
  /** Oldest first, for forgetting. */
  readonly #marks = new Set<Mark>();
  readonly #options: BlocksOptions;
  #overflowed = false;

  constructor(options: BlocksOptions) {
    this.#options = options;
  }

  /** How many scopes are remembered. */
  get size(): number {
    return this.#marks.size;
  }

  /** The scopes that are blocked, oldest first. A copy. */
  scopes(): RevocationScope[] {
    return [...this.#marks].filter((mark) => mark.blocks).map(({ scope }) => scope);
  }

  /** Whether a block was forgotten for want of room. */
  get overflowed(): boolean {
    return this.#overflowed;
  }

  /** Remembers a `revoke`, unless a newer event about the same scope is known already. */
  revoke(scope: RevocationScope, seq: number, destroyed: boolean): void {
    const known = this.#find(scope);
    if (known !== undefined && known.seq >= seq) {
      this.#raiseBarrier(scope, seq);
      return;
    }
    this.#put({ scope: scopeOf(scope), seq, blocks: true, destroyed, stale: false });
    this.#raiseBarrier(scope, seq);
    for (const inside of this.#overruled(scope, seq)) this.#remove(inside);
    this.#bound();
  }

  /** Lifts the scope as far as `seq` is the newest word about it. */
  restore(scope: RevocationScope, seq: number): void {
    const known = this.#find(scope);
    if (known !== undefined && known.seq >= seq) return;
    for (const inside of this.#overruled(scope, seq)) this.#remove(inside);
    if (known !== undefined) this.#remove(known);
    const wider = this.#verdict(scope.tenant, scope.service, scope.version);
    if (wider?.blocks === true && wider.seq < seq) {
      this.#put({ scope: scopeOf(scope), seq, blocks: false, destroyed: false, stale: false });
      this.#bound();
    }
  }

  /** Whether the version, or without it every version of the service, is refused. */
  isBlocked(tenant: string, service: string, version?: number): boolean {
    const verdict = this.#verdict(tenant, service, version);
    if (verdict === undefined || !verdict.blocks || verdict.stale) return false;
    return version !== undefined || !this.#hasRestoredVersion(tenant, service, verdict.seq);
  }

  /** As `isBlocked` for a whole service, but a stale block counts too. */
  mayBeBlocked(tenant: string, service: string): boolean {
    if (this.#verdict(tenant, service, undefined)?.blocks === true) return true;
    const versions = this.#tenants.get(tenant)?.services.get(service)?.versions;
    if (versions === undefined) return false;
    for (const mark of versions.values()) if (mark.blocks && mark.stale) return true;
    return false;
  }

  /** The sequence number of the newest revocation that touches the service, 0 for none remembered. */
  barrier(tenant: string, service: string): number {
    const marks = this.#tenants.get(tenant);
    if (marks === undefined) return 0;
    return Math.max(marks.barrier, marks.services.get(service)?.barrier ?? 0);
  }

  /** Events up to `seq` were lost: a block from before refuses no more by itself (see `mayBeBlocked`). */
  makeStale(seq: number): void {
    for (const mark of this.#marks) if (mark.seq <= seq) mark.stale = true;
  }

  /** The log has changed: what is blocked stays so, and is older than every event of the new log. */
  rebase(): void {
    const marks = [...this.#marks];
    this.#marks.clear();
    this.#tenants.clear();
    for (const mark of marks) this.#put({ ...mark, seq: 0 });
  }

  #hasRestoredVersion(tenant: string, service: string, afterSeq: number): boolean {
    const versions = this.#tenants.get(tenant)?.services.get(service)?.versions;
    if (versions === undefined) return false;
    for (const mark of versions.values()) if (!mark.blocks && mark.seq > afterSeq) return true;
    return false;
  }

  #verdict(tenant: string, service: string | undefined, version: number | undefined): Mark | undefined {
    const tenantMarks = this.#tenants.get(tenant);
    if (tenantMarks === undefined) return undefined;
    const serviceMarks = service === undefined ? undefined : tenantMarks.services.get(service);
    if (serviceMarks === undefined) return tenantMarks.mark;
    const verdict = stronger(tenantMarks.mark, serviceMarks.mark);
    return version === undefined ? verdict : stronger(verdict, serviceMarks.versions?.get(version));
  }

  #find({ tenant, service, version }: RevocationScope): Mark | undefined {
    const tenantMarks = this.#tenants.get(tenant);
    if (service === undefined) return tenantMarks?.mark;
    const serviceMarks = tenantMarks?.services.get(service);
    return version === undefined ? serviceMarks?.mark : serviceMarks?.versions?.get(version);
  }

  /** Every mark about a part of the scope, not about itself. */
  #inside({ tenant, service, version }: RevocationScope): readonly Mark[] {
    if (version !== undefined) return NONE;
    const tenantMarks = this.#tenants.get(tenant);
    if (tenantMarks === undefined) return NONE;
    if (service !== undefined) return versionMarks(tenantMarks.services.get(service));
    const inside: Mark[] = [];
    for (const serviceMarks of tenantMarks.services.values()) {
      inside.push(...versionMarks(serviceMarks));
      if (serviceMarks.mark !== undefined) inside.push(serviceMarks.mark);
    }
    return inside;
  }

  /** Those of them that an event of the number `seq` about the scope overrules. */
  #overruled(scope: RevocationScope, seq: number): readonly Mark[] {
    return this.#inside(scope).filter((mark) => mark.seq < seq && !(mark.blocks && mark.destroyed));
  }

  #put(mark: Mark): void {
    const { tenant, service, version } = mark.scope;
    const old = this.#find(mark.scope);
    if (old !== undefined) this.#marks.delete(old);
    this.#marks.add(mark);
    const tenantMarks = this.#tenantMarks(tenant);
    if (service === undefined) tenantMarks.mark = mark;
    else {
      const serviceMarks = this.#serviceMarks(tenantMarks, service);
      if (version === undefined) serviceMarks.mark = mark;
      else {
        serviceMarks.versions ??= new Map();
        serviceMarks.versions.set(version, mark);
      }
    }
  }

  #raiseBarrier({ tenant, service }: RevocationScope, seq: number): void {
    const tenantMarks = this.#tenantMarks(tenant);
    const holder = service === undefined ? tenantMarks : this.#serviceMarks(tenantMarks, service);
    holder.barrier = Math.max(holder.barrier, seq);
  }

  /** Forgets a mark that is remembered. What was answered before a revocation stays refused: by a barrier, or by `onForget`. */
  #remove(mark: Mark): void {
    this.#marks.delete(mark);
    const { tenant, service, version } = mark.scope;
    const tenantMarks = this.#tenants.get(tenant)!;
    if (service === undefined) tenantMarks.mark = undefined;
    else {
      const serviceMarks = tenantMarks.services.get(service)!;
      if (version === undefined) serviceMarks.mark = undefined;
      else serviceMarks.versions?.delete(version);
      if (serviceMarks.mark === undefined && (serviceMarks.versions?.size ?? 0) === 0) {
        // Its barrier goes with it, up to the tenant: wider, never lower.
        tenantMarks.barrier = Math.max(tenantMarks.barrier, serviceMarks.barrier);
        tenantMarks.services.delete(service);
      }
    }
    if (tenantMarks.mark === undefined && tenantMarks.services.size === 0) {
      this.#options.onForget(tenantMarks.barrier);
      this.#tenants.delete(tenant);
    }
  }

  #bound(): void {
    for (const oldest of this.#marks) {
      if (this.#marks.size <= this.#options.maxScopes) return;
      this.#overflowed = true;
      this.#options.onForget(oldest.seq);
      this.#remove(oldest);
    }
  }

  #tenantMarks(tenant: string): TenantMarks {
    let marks = this.#tenants.get(tenant);
    if (marks === undefined) {
      marks = { mark: undefined, services: new Map(), barrier: 0 };
      this.#tenants.set(tenant, marks);
    }
    return marks;
  }

  #serviceMarks(tenantMarks: TenantMarks, service: string): ServiceMarks {
    let marks = tenantMarks.services.get(service);
    if (marks === undefined) {
      marks = { mark: undefined, versions: undefined, barrier: 0 };
      tenantMarks.services.set(service, marks);
    }
    return marks;
  }
}

const NONE: readonly Mark[] = [];

function versionMarks(marks: ServiceMarks | undefined): readonly Mark[] {
  return marks?.versions === undefined ? NONE : [...marks.versions.values()];
}

/** Which of two marks decides; `narrower` is about a part of what `wider` is about. */
function stronger(wider: Mark | undefined, narrower: Mark | undefined): Mark | undefined {
  if (narrower === undefined) return wider;
  if (wider === undefined || narrower.seq > wider.seq) return narrower;
  return narrower.blocks && narrower.destroyed ? narrower : wider;
}
