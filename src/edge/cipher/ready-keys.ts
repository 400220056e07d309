/**
 * The derived keys that are ready for use, in the whole process: a bounded number, of which the least recently used gives way.
 * It is taken from the tenant that holds most, so that one tenant's thousand salts don't push out the others' keys.
 */

/** Keys that are ready at a time. */
export const READY_KEYS_MAX = 8_192;

/** A key that may be ready. It is closed by `giveWay`, and made again by its owner when it is used. */
export abstract class ReadyKey {
  /** Undefined while the key is not ready. */
  share: TenantShare | undefined;
  newer: ReadyKey | undefined;
  older: ReadyKey | undefined;

  /** Wipes the key: another one takes its place. */
  abstract giveWay(): void;
}

/** The ready keys of one tenant, from the last used to the first. */
class TenantShare {
  readonly tenant: string;
  count = 0;
  newest: ReadyKey | undefined;
  oldest: ReadyKey | undefined;

  constructor(tenant: string) {
    this.tenant = tenant;
  }

  /** A key that has no neighbours: a new one, or one that was taken out. */
  add(key: ReadyKey): void {
    key.older = this.newest;
    if (this.newest !== undefined) this.newest.newer = key;
    this.newest = key;
    this.oldest ??= key;
  }

  take(key: ReadyKey): void {
    if (key.newer === undefined) this.newest = key.older;
    else key.newer.older = key.older;
    if (key.older === undefined) this.oldest = key.newer;
    else key.older.newer = key.newer;
    key.newer = undefined;
    key.older = undefined;
  }
}

export class ReadyKeys {
  readonly #max: number;
  readonly #shares = new Map<string, TenantShare>();
  /** The tenants that hold so many keys, by that number. */
  readonly #byCount: Set<TenantShare>[] = [];
  #size = 0;
  /** The largest number that a tenant holds. */
  #most = 0;

  constructor(max = READY_KEYS_MAX) {
    this.#max = max;
  }

  get size(): number {
    return this.#size;
  }

  /** Enters a key that was made ready. Another one gives way where there are too many. */
  enter(key: ReadyKey, tenant: string): void {
    let share = this.#shares.get(tenant);
    if (share === undefined) {
      share = new TenantShare(tenant);
      this.#shares.set(tenant, share);
    }
    if (this.#size === this.#max) this.#makeRoom(share);
    key.share = share;
    share.add(key);
    this.#size++;
    this.#recount(share, share.count + 1);
  }

  /** Takes a key out that is no longer ready. */
  leave(key: ReadyKey): void {
    const { share } = key;
    if (share === undefined) return;
    key.share = undefined;
    share.take(key);
    this.#size--;
    this.#recount(share, share.count - 1);
    if (share.count === 0) this.#shares.delete(share.tenant);
  }

  /** Called at each use. */
  touch(key: ReadyKey): void {
    const { share } = key;
    if (share === undefined || share.newest === key) return;
    share.take(key);
    share.add(key);
  }

  /** Of the tenant that holds most, of the one that asks where it holds as many, the key used longest ago. */
  #makeRoom(asking: TenantShare): void {
    const most =
      asking.count === this.#most ? asking : (this.#byCount[this.#most]!.values().next().value as TenantShare);
    const victim = most.oldest!;
    this.leave(victim);
    if (asking.count === 0) this.#shares.set(asking.tenant, asking);
    victim.giveWay();
  }

  #recount(share: TenantShare, count: number): void {
    this.#byCount[share.count]?.delete(share);
    share.count = count;
    if (count > 0) {
      this.#byCount[count] ??= new Set();
      this.#byCount[count].add(share);
    }
    if (count > this.#most) this.#most = count;
    while (this.#most > 0 && (this.#byCount[this.#most]?.size ?? 0) === 0) this.#most--;
  }
}
