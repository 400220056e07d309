/** What a Core does by the minute: usage, audit and old orders pruned, signing keys of other Cores taken over. */
import { messageOf } from "../base/errors.ts";
import type { Clock, Timer } from "../base/time/clock.ts";
import type { CoreLog } from "./answers.ts";
import { type KeyHierarchy, MASTER_KEY_CHECK } from "./keys/hierarchy.ts";
import type { SigningKeys } from "./signing-keys.ts";
import type { Store } from "./store/store.ts";

export interface UsageRetention {
  readonly countsMs: number;
  readonly auditMs: number;
  /** Of audit events; the oldest go first. */
  readonly auditBytes: number;
}

const DAY_MS = 24 * 3_600_000;
const DEFAULT_USAGE_RETENTION: UsageRetention = {
  countsMs: 400 * DAY_MS,
  auditMs: 90 * DAY_MS,
  auditBytes: 1024 * 1024 * 1024,
};
/** How long a batch's key is remembered: an edge gives up sending one again long before. */
const BATCH_KEY_MS = 30 * DAY_MS;
const EDGES_MS = 30 * DAY_MS;
/** How long an order of another system is remembered, so that it is carried out once: Orbital gives up asking within hours. */
const ORDERS_MS = 30 * DAY_MS;
const PERIOD_MS = 60_000;
const ORDERS_PERIOD_MS = 3_600_000;
/** Takes over a key that another Core signs with; an event signed with the old one is believed for a day. */
const SIGNING_KEYS_MS = 5_000;
const MASTER_KEY_MS = 5_000;

export interface HousekeepingOptions {
  readonly store: Store;
  readonly signingKeys: SigningKeys;
  readonly hierarchy: KeyHierarchy;
  readonly clock: Clock;
  readonly log: CoreLog;
  readonly retention: Partial<UsageRetention>;
}

export class Housekeeping {
  readonly #options: HousekeepingOptions;
  readonly #timers = new Map<string, Timer>();
  #working: Promise<unknown> = Promise.resolve();
  #closed = false;
  #hasMasterKey = true;

  constructor(options: HousekeepingOptions) {
    this.#options = options;
    this.#repeat("prune", PERIOD_MS, () => this.prune());
    this.#repeat("old orders", ORDERS_PERIOD_MS, () => this.forgetOrders());
    this.#repeat("master key", MASTER_KEY_MS, () => this.checkMasterKey());
    this.#repeat("signing keys", SIGNING_KEYS_MS, () => options.signingKeys.refresh());
  }

  /** Whether the store's master key is one that this Core has, as of seconds ago. */
  get hasMasterKey(): boolean {
    return this.#hasMasterKey;
  }

  /** A rotation is refused while a Core lacks the new key; one that was away or stood still is not seen by it. */
  async checkMasterKey(): Promise<void> {
    const { store, hierarchy, log } = this.#options;
    const has = hierarchy.checkedBy(await store.setting(MASTER_KEY_CHECK)) !== undefined;
    if (has === this.#hasMasterKey) return;
    this.#hasMasterKey = has;
    if (has) log("info", "this Core has the database's master key again");
    else
      log(
        "error",
        "the master key was rotated and this Core has the old one only: give it the new one, and restart it",
      );
  }

  async prune(): Promise<void> {
    const { store, log, retention } = this.#options;
    // A Core whose clock runs ahead must not take from all what is not old.
    const nowMs = await store.nowMs();
    const { countsMs, auditMs, auditBytes } = { ...DEFAULT_USAGE_RETENTION, ...retention };
    const since = (ageMs: number): string => new Date(nowMs - ageMs).toISOString();
    const gone = await store.usage.prune({
      batchesSince: since(BATCH_KEY_MS),
      countsSince: since(countsMs),
      auditSince: since(auditMs),
      edgesSince: since(EDGES_MS),
      nowMs,
      auditBytes,
    });
    if (gone > 0) log("info", "audit events beyond usage.keep_audit or usage.max_audit were deleted", { events: gone });
  }

  async forgetOrders(): Promise<void> {
    const { store } = this.#options;
    const before = new Date((await store.nowMs()) - ORDERS_MS).toISOString();
    await store.change((change) => change.forgetDoneOrders(before));
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers.values()) timer.cancel();
    await this.#working;
  }

  #repeat(what: string, periodMs: number, work: () => Promise<void>): void {
    const { clock, log } = this.#options;
    this.#timers.set(
      what,
      clock.schedule(periodMs, () => {
        const working = work().catch((error: unknown) =>
          log("warn", `housekeeping failed: ${what}`, { reason: messageOf(error) }),
        );
        this.#working = Promise.all([this.#working, working]);
        void working.then(() => {
          if (!this.#closed) this.#repeat(what, periodMs, work);
        });
      }),
    );
  }
}
