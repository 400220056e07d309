/** Who may connect, and how often: no certificate that is on a revocation list, and only so many connections of one caller. */
import type { Peer } from "../base/pki/peer-certificate.ts";
import type { RevocationLists } from "../base/pki/revocation-list.ts";
import { callerName } from "./caller.ts";

export class CallerConnections {
  readonly #max: number;
  readonly #open = new Map<string, number>();
  readonly #admitted = new WeakSet<Peer>();
  #lists: RevocationLists;

  /** `max`: connections of one caller. */
  constructor(max: number, lists: RevocationLists) {
    this.#max = max;
    this.#lists = lists;
  }

  use(lists: RevocationLists): void {
    this.#lists = lists;
  }

  /** Why this connection is refused, if it is. May be asked again about one that was admitted. */
  admit(peer: Peer): string | undefined {
    const refusal = peer.certificate && this.#lists.refusalOf(peer.certificate);
    if (refusal !== undefined || this.#admitted.has(peer)) return refusal;
    const name = callerName(peer);
    const connections = this.#open.get(name) ?? 0;
    if (connections >= this.#max) return `${name} has ${connections} connections already`;
    this.#admitted.add(peer);
    this.#open.set(name, connections + 1);
    return undefined;
  }

  /** Of one that was admitted. */
  closed(peer: Peer): void {
    const name = callerName(peer);
    const left = (this.#open.get(name) ?? 1) - 1;
    if (left === 0) this.#open.delete(name);
    else this.#open.set(name, left);
  }
}
