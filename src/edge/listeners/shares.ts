/** What each caller of a listener uses, over all its connections: one share for each that is known, one for all strangers together. */
import type { CallerLoad } from "../../base/network/request-gate.ts";

/** Of one caller. Kept while it has connections or requests. */
export interface Share extends CallerLoad {
  readonly id: string;
  connections: number;
}

/** Of what one known caller may have, strangers have this part, all of them together. */
const STRANGERS_PART = 1 / 8;

export class Shares {
  readonly #shares = new Map<string, Share>();
  /** Whoever has not proven yet who it is: what it uses is taken from no one who has. */
  readonly strangers: Share = { id: "", requests: 0, bytes: 0, connections: 0, part: STRANGERS_PART };

  of(id: string): Share {
    let share = this.#shares.get(id);
    if (share === undefined) {
      share = { id, requests: 0, bytes: 0, connections: 0, part: 1 };
      this.#shares.set(id, share);
    }
    return share;
  }

  /** Forgets a share that nothing uses any more. */
  release(share: Share): void {
    if (share.connections <= 0 && share.requests <= 0) this.#shares.delete(share.id);
  }

  get size(): number {
    return this.#shares.size;
  }
}
