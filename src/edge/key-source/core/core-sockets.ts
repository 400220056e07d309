/** The connections for calls to one Core by one set of certificates: kept, no more than a number of them, the other calls in line. */
import { type CoreAddress, CoreSocket, type Exchange, type SocketOwner } from "./core-socket.ts";

/** An exchange that may be given up before it has begun. */
export interface QueuedExchange extends Exchange {
  readonly isOver: boolean;
}

export class CoreSockets implements SocketOwner {
  readonly #address: CoreAddress;
  readonly #max: number;
  readonly #all = new Set<CoreSocket>();
  readonly #free: CoreSocket[] = [];
  readonly #waiting: QueuedExchange[] = [];
  #isRetired = false;

  constructor(address: CoreAddress, max: number) {
    this.#address = address;
    this.#max = max;
  }

  /** Begins it on a connection that is free, or on a new one; else when one is. `fresh`: on a new one, if there is room. */
  begin(exchange: QueuedExchange, fresh = false): void {
    const hasRoom = this.#all.size < this.#max;
    const free = fresh && hasRoom ? undefined : this.#free.pop();
    if (free !== undefined) {
      free.keepsAlive(true);
      free.begin(exchange);
    } else if (hasRoom) {
      this.#open(exchange);
    } else {
      this.#waiting.push(exchange);
    }
  }

  /** Idle connections go at once, busy ones once nobody waits for them. */
  retire(): void {
    this.#isRetired = true;
    for (const socket of this.#free.splice(0)) socket.destroy();
  }

  onFree(socket: CoreSocket): void {
    const next = this.#next();
    if (next !== undefined) {
      socket.begin(next);
    } else if (this.#isRetired) {
      socket.destroy();
    } else {
      socket.keepsAlive(false);
      this.#free.push(socket);
    }
  }

  onGone(socket: CoreSocket): void {
    this.#all.delete(socket);
    const place = this.#free.indexOf(socket);
    if (place >= 0) this.#free.splice(place, 1);
    const next = this.#next();
    if (next !== undefined) this.#open(next);
  }

  /** For good: who waits has been told before. */
  close(): void {
    this.#waiting.length = 0;
    for (const socket of [...this.#all]) socket.destroy();
  }

  #open(exchange: QueuedExchange): void {
    const socket = new CoreSocket(this.#address, this);
    this.#all.add(socket);
    socket.begin(exchange);
  }

  #next(): QueuedExchange | undefined {
    for (;;) {
      const next = this.#waiting.shift();
      if (next === undefined || !next.isOver) return next;
    }
  }
}
