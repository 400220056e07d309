import type { LogPort } from "../../base/log-port.ts";
import type { LeaseControl } from "../cache/lease-cache.ts";
import type { AuthorityBlocks, AuthorityOrder, AuthorityOutcome } from "./authority-blocks.ts";
import type { Blocks } from "./blocks.ts";
import type { CountedEvent } from "./event-format.ts";
import type { LogPosition } from "./log-position.ts";
import type { RevocationEvent } from "./revocation-transport.ts";

export interface EventEffectsOptions {
  readonly log: Pick<LogPort, "info" | "warn">;
  readonly position: LogPosition;
  readonly blocks: Blocks;
  readonly authorities: AuthorityBlocks;
  /** After an event was applied, once per event. */
  readonly onApplied: ((event: RevocationEvent, transport: string) => void) | undefined;
  /** After an order of an authority was carried out. */
  readonly onAuthority: ((order: AuthorityOrder, transport: string) => void) | undefined;
}

/** What an event does to blocks and leases, whose turn it is. */
export class EventEffects {
  readonly #options: EventEffectsOptions;
  /** How often every lease had to be dropped. */
  leaseDrops = 0;
  /** The cache, once it is attached. */
  control: LeaseControl = NOTHING_HELD;

  constructor(options: EventEffectsOptions) {
    this.#options = options;
  }

  /** Everything is wiped or lifted when this returns. */
  apply(event: CountedEvent, transport: string): void {
    const { blocks, authorities, log, onApplied } = this.#options;
    const { log: eventLog, seq, tenant, service, version } = event;
    const fields = { transport, log: eventLog, seq, tenant, service, version };
    if (event.type === "revoke") {
      // The gate first, then the keys: nothing can slip in between.
      blocks.revoke(event, seq, event.state === "destroyed");
      const wiped = this.control.revoke(event);
      log.info({ ...fields, state: event.state, wiped }, "a revocation was applied");
    } else if (event.type === "restore") {
      blocks.restore(event, seq);
      authorities.coreRestored(event);
      this.control.forget(event);
      log.info(fields, "a block was lifted");
    } else {
      this.control.forget({ tenant: event.tenant, service: event.service });
      this.control.renew(event.tenant, event.service);
    }
    onApplied?.(event, transport);
  }

  /** Likewise, for an authority other than the Core. */
  order(order: AuthorityOrder, transport: string): AuthorityOutcome {
    const { authorities, log, onAuthority } = this.#options;
    const { issuer, scope, id } = order;
    const fields = { transport, issuer, id, ...scope };
    let outcome: AuthorityOutcome;
    if (order.type === "restore") {
      outcome = { outcome: "lifted", blocks: authorities.restore(order) };
      this.control.forget(scope);
      log.info({ ...fields, blocks: outcome.blocks }, "an authority has lifted its block");
    } else if (authorities.revoke(order)) {
      outcome = { outcome: "applied", wiped: this.control.revoke(scope) };
      log.info({ ...fields, wiped: outcome.wiped }, "an authority's revocation was applied");
    } else {
      log.warn(fields, "an authority's revocation was not applied: no more blocks can be remembered");
      return { outcome: "full" };
    }
    onAuthority?.(order, transport);
    return outcome;
  }

  dropEveryLease(reason: string): void {
    this.leaseDrops++;
    const { log, appliedSeq: seq, newestSeq: newest } = this.#options.position;
    this.#options.log.warn({ reason, log, seq, newest }, "every lease is dropped");
    this.control.dropAll(reason);
  }
}

/** Before a cache is attached. */
const NOTHING_HELD: LeaseControl = {
  revoke: () => 0,
  forget: () => {},
  dropAll: () => {},
  renew: () => {},
  renewAll: () => {},
};
