/**
 * What authorities other than the Core have revoked (orbital.md): blocks without a sequence number, by issuer and scope. One stays
 * until its issuer lifts it, or the Core's own log does: by a `restore` that the Core committed after the block was made here.
 *
 * "After" is settled without clocks. A block first waits for a *fence*: the newest number of the log, asked of the Core once the
 * block stands. Every `restore` committed before that has a number up to the fence, however late it arrives, and lifts nothing.
 */
import type { RevocationScope } from "../cache/lease-cache.ts";
import { LogFence, type LogFenceOptions } from "./log-fence.ts";
import type { RestoreEvent } from "./revocation-transport.ts";
import { scopeOf } from "./scope.ts";

/** What an authority orders. Whoever delivers it has verified that the issuer said so, and may say so of this scope. */
export interface AuthorityOrder {
  readonly type: "revoke" | "restore";
  /** Of the configuration: it tells the blocks of one authority from another's. */
  readonly issuer: string;
  readonly scope: RevocationScope;
  readonly reason: string;
  /** What the order is known by: a `restore` may name the revocations that it lifts, and then lifts no other. */
  readonly id?: string | undefined;
  readonly lifts?: readonly string[] | undefined;
}

/** What has become of an order: `full` where nothing more can be remembered, so that nothing was done. */
export type AuthorityOutcome =
  | { readonly outcome: "applied"; readonly wiped: number }
  | { readonly outcome: "lifted"; readonly blocks: number }
  | { readonly outcome: "full" };

export interface AuthorityStatus {
  readonly issuer: string;
  readonly blocks: number;
  /** Of these, how many wait for the Core to say how far its log goes: until then only the issuer lifts them. */
  readonly unfenced: number;
}

interface Block {
  readonly issuer: string;
  readonly id: string | undefined;
  readonly scope: RevocationScope;
  /** Parts that were lifted. */
  exceptions: readonly RevocationScope[];
  /** Where the Core's log was; undefined while it is not known. */
  fence: { readonly log: string; readonly seq: number } | undefined;
  /** The Core's restorations that came before the fence was known. */
  readonly early: RestoreEvent[];
}

/** Beyond so many parts that were lifted by themselves, a block stays whole. */
const EXCEPTIONS_MAX = 256;
const EARLY_MAX = 256;

export interface AuthorityBlocksOptions extends LogFenceOptions {
  readonly max: number;
  /** Whether the log is one that the edge has left: then what the Core says now is newer. */
  readonly isFormerLog: (log: string) => boolean;
}

export class AuthorityBlocks {
  readonly #options: AuthorityBlocksOptions;
  readonly #byTenant = new Map<string, readonly Block[]>();
  readonly #fence: LogFence;
  #size = 0;

  constructor(options: AuthorityBlocksOptions) {
    this.#options = options;
    this.#fence = new LogFence(options);
  }

  get size(): number {
    return this.#size;
  }

  /** False where no more can be remembered. Made again, a block is as new. */
  revoke({ issuer, scope, id }: AuthorityOrder): boolean {
    const again = this.#of(scope).find((block) => block.issuer === issuer && isSame(block.scope, scope));
    if (again !== undefined) this.#remove(again);
    else if (this.#size >= this.#options.max) return false;
    const block: Block = { issuer, id, scope: scopeOf(scope), exceptions: [], fence: undefined, early: [] };
    this.#byTenant.set(scope.tenant, [...this.#of(scope), block]);
    this.#size++;
    this.#fence.ask((fence) => this.#fenced(block, fence));
    return true;
  }

  /** Lifts what the issuer has blocked in the scope. Gives how many blocks it touched. */
  restore({ issuer, scope, lifts }: AuthorityOrder): number {
    let touched = 0;
    for (const block of this.#of(scope)) {
      if (block.issuer !== issuer) continue;
      if (lifts !== undefined && (block.id === undefined || !lifts.includes(block.id))) continue;
      if (this.#lift(block, scope)) touched++;
    }
    return touched;
  }

  /** The Core's own log lifts a scope. */
  coreRestored(event: RestoreEvent): void {
    for (const block of this.#of(event)) {
      if (block.fence === undefined) {
        if (block.early.length < EARLY_MAX) block.early.push(event);
      } else if (this.#isAfter(event, block.fence)) this.#lift(block, event);
    }
  }

  /** Whether the version, or without it every version of the service, is refused. */
  isBlocked(tenant: string, service: string, version?: number): boolean {
    const asked = version === undefined ? { tenant, service } : { tenant, service, version };
    for (const { scope, exceptions } of this.#of(asked)) {
      if (!covers(scope, asked)) continue;
      // A service of which one version was lifted is not refused as a whole.
      if (!exceptions.some((lifted) => covers(lifted, asked) || (version === undefined && covers(asked, lifted)))) {
        return true;
      }
    }
    return false;
  }

  /** What is blocked, parts that were lifted included. */
  scopes(): RevocationScope[] {
    return [...this.#byTenant.values()].flat().map(({ scope }) => scope);
  }

  status(): readonly AuthorityStatus[] {
    const issuers = new Map<string, { issuer: string; blocks: number; unfenced: number }>();
    for (const block of [...this.#byTenant.values()].flat()) {
      const { issuer } = block;
      const status = issuers.get(issuer) ?? { issuer, blocks: 0, unfenced: 0 };
      status.blocks++;
      if (block.fence === undefined) status.unfenced++;
      issuers.set(issuer, status);
    }
    return [...issuers.values()];
  }

  close(): void {
    this.#fence.close();
  }

  #fenced(block: Block, fence: { readonly log: string; readonly seq: number }): void {
    block.fence = fence;
    for (const event of block.early.splice(0)) if (this.#isAfter(event, fence)) this.#lift(block, event);
  }

  #isAfter(event: RestoreEvent, fence: { readonly log: string; readonly seq: number }): boolean {
    return event.log === fence.log ? event.seq > fence.seq : this.#options.isFormerLog(fence.log);
  }

  /** Takes the scope out of the block; false where they have nothing in common. */
  #lift(block: Block, scope: RevocationScope): boolean {
    if (covers(scope, block.scope)) {
      this.#remove(block);
      return true;
    }
    if (!covers(block.scope, scope)) return false;
    if (block.exceptions.length < EXCEPTIONS_MAX) block.exceptions = [...block.exceptions, scopeOf(scope)];
    return true;
  }

  #remove(block: Block): void {
    const blocks = this.#of(block.scope);
    // It may have gone while its fence was being asked for.
    if (!blocks.includes(block)) return;
    const { tenant } = block.scope;
    const left = blocks.filter((other) => other !== block);
    if (left.length === 0) this.#byTenant.delete(tenant);
    else this.#byTenant.set(tenant, left);
    this.#size--;
  }

  /** The blocks of the scope's tenant. */
  #of({ tenant }: RevocationScope): readonly Block[] {
    return this.#byTenant.get(tenant) ?? NONE;
  }
}

const NONE: readonly Block[] = [];

/** Whether `inner` lies in `outer`, or is it; both of one tenant. */
function covers(outer: RevocationScope, inner: RevocationScope): boolean {
  if (outer.service === undefined) return true;
  if (outer.service !== inner.service) return false;
  return outer.version === undefined || outer.version === inner.version;
}

function isSame(one: RevocationScope, other: RevocationScope): boolean {
  return covers(one, other) && covers(other, one);
}
