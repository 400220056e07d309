import type { Lease } from "./lease.ts";

/** The leases held, from the newest used to the oldest: a list linked through the leases themselves. */
export class UsageOrder {
  size = 0;
  #newest: Lease | undefined;
  #oldest: Lease | undefined;

  get oldest(): Lease | undefined {
    return this.#oldest;
  }

  /** Adds a lease that is not in. */
  add(lease: Lease): void {
    lease.older = this.#newest;
    if (this.#newest !== undefined) this.#newest.newer = lease;
    this.#newest = lease;
    this.#oldest ??= lease;
    this.size++;
  }

  /** Moves a lease that is in to the newest end. */
  touch(lease: Lease): void {
    this.delete(lease);
    this.add(lease);
  }

  /** Removes a lease that is in. */
  delete(lease: Lease): void {
    const { newer, older } = lease;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    lease.newer = undefined;
    lease.older = undefined;
    this.size--;
  }

  *[Symbol.iterator](): Generator<Lease> {
    for (let lease = this.#newest; lease !== undefined; ) {
      const { older } = lease;
      yield lease;
      lease = older;
    }
  }
}
