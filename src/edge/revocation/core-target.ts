/**
 * Who orders things of a Core, beside its administrators: the port. A plugin that speaks another system's protocol implements it
 * (Orbital), so that what that system wants becomes the Core's own commits, which reach all edges in order.
 */
import type { RevocationScope } from "../cache/lease-cache.ts";

/** An authority outside that orders a Core to revoke, restore, rotate: one connection to it. */
export interface CoreTarget {
  /** What logs call it. */
  readonly name: string;

  /**
   * Connects, and from then on hands what it is ordered to `commands`, until `close`; reconnects by itself. Resolves once the first
   * attempt has begun. Whom it believes is its own to verify.
   */
  start(commands: CoreCommands): Promise<void>;

  /** Stops for good. May be called twice. */
  close(): Promise<void>;
}

/** `id` names the order among all of its issuer's: given again, it does nothing new. */
export type CoreCommand = { readonly id: string; readonly issuer: string } & CoreOrder;

/** What an authority may order. */
export type CoreOrder =
  | {
      readonly type: "revoke";
      readonly scope: RevocationScope;
      readonly state: "compromised" | "destroyed";
      readonly reason: string;
    }
  | { readonly type: "restore"; readonly scope: RevocationScope }
  | { readonly type: "rotate"; readonly tenant: string; readonly service: string }
  /** With a service, that is made too. One that is there already is left as it is. */
  | { readonly type: "create_tenant"; readonly tenant: string; readonly service?: string | undefined };

/** What a command came to, now or when it was given first. */
export interface CommittedCommand {
  /** The events of it, by their numbers. */
  readonly seqs: readonly number[];
  readonly at: string;
}

/** The Core, as an authority's connection sees it. */
export interface CoreCommands {
  /**
   * Commits the order, once.
   *
   * @throws an error with a stable `code` for what can't be done; `retryable` where the same may succeed later.
   */
  commit(command: CoreCommand): Promise<CommittedCommand>;

  /** Which edges may still hold a lease of the scope from before the newest of these events, and how many have confirmed it. */
  edgesLeft(committed: CommittedCommand, scope: RevocationScope): Promise<EdgesLeft>;
}

/** How far an order's event has come among the edges. */
export interface EdgesLeft {
  /** Edges that may hold such a lease, or held one and have confirmed. */
  readonly edges: number;
  /** Those that have not confirmed: 0 once an event is in force everywhere. At least 1 while not all of them are known. */
  readonly left: number;
  /** What is waited for, at most ten: edges by name, and Cores that have not told which edges they know. */
  readonly waitingFor: readonly string[];
}
