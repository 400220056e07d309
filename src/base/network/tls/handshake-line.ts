/**
 * A crowd of TLS handshakes goes on beside everyone's requests. Each is two pieces of some 0.4 ms that can't be cut, the second when the client has
 * done its part, and the runtime reads all connections that have bytes in one turn of the event loop. So a crowd is paused, the system is asked
 * which of it have bytes, and one of these is read in a turn that has room. Who is silent costs no more than that question.
 */
import { type AskReadable, DESCRIPTORS_MAX } from "../../system/readable-descriptors.ts";
import type { Clock, Timer } from "../../time/clock.ts";
import { systemClock } from "../../time/system-clock.ts";
import { useComingTurn, useTurn, whenTurnHasRoom } from "../../time/turns.ts";

/** A connection until its handshake has ended; the runtime reads it unless it is paused. */
export interface Handshake {
  /** Negative once there is none. */
  readonly descriptor: number;
  pause(): void;
  resume(): void;
}

/** So many at once are no crowd: none of them waits. */
const FEW = 2;
/** Between two questions while all are silent. */
const ASK_EVERY_MS = 1;

export class HandshakeLine {
  readonly #clock: Clock;
  /** Not read yet. */
  readonly #fresh: Waiting;
  /** Read once at least: the client has the next part. */
  readonly #begun: Waiting;
  /** All wait then, but the one whose turn it is. */
  #isCrowd = false;
  #isAwaited = false;
  #current: Handshake | undefined;
  /** They take turns: what has begun ends before many others begin, and who sends byte by byte keeps nobody out. */
  #isBegunNext = true;
  #timer: Timer | undefined;

  constructor(askReadable: AskReadable, clock: Clock = systemClock) {
    this.#clock = clock;
    this.#fresh = new Waiting(askReadable);
    this.#begun = new Waiting(askReadable);
  }

  /** Told of each new connection before anything of it is read. */
  begin(handshake: Handshake): void {
    this.#fresh.add(handshake);
    if (this.#isCrowd) return void handshake.pause();
    if (this.#fresh.size + this.#begun.size <= FEW) return;
    this.#isCrowd = true;
    for (const each of this.#fresh) each.pause();
    for (const each of this.#begun) each.pause();
    this.#awaitTurn();
  }

  /** The handshake has come to its end, or its connection has; what follows in this turn is as much again. Of two calls the first counts. */
  ended(handshake: Handshake): void {
    if (!this.#fresh.delete(handshake) && !this.#begun.delete(handshake)) return;
    useTurn(1);
    if (!this.#isCrowd || this.#fresh.size + this.#begun.size > FEW) return;
    this.#isCrowd = false;
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const each of this.#fresh) each.resume();
    for (const each of this.#begun) each.resume();
  }

  #awaitTurn(): void {
    if (this.#isAwaited) return;
    this.#isAwaited = true;
    whenTurnHasRoom(() => {
      this.#isAwaited = false;
      if (this.#isCrowd) this.#letNextBeRead();
    });
  }

  #letNextBeRead(): void {
    if (this.#current !== undefined && this.#begun.has(this.#current)) this.#current.pause();
    const next = this.#takeNext();
    this.#current = next;
    if (next === undefined) {
      this.#timer = this.#clock.schedule(ASK_EVERY_MS, () => {
        this.#timer = undefined;
        this.#awaitTurn();
      });
      return;
    }
    this.#begun.add(next);
    next.resume();
    // It is read when the runtime next asks what has come.
    useComingTurn(1);
    this.#awaitTurn();
  }

  #takeNext(): Handshake | undefined {
    const begunFirst = this.#isBegunNext;
    const first = begunFirst ? this.#begun.takeReadable() : this.#fresh.takeReadable();
    const next = first ?? (begunFirst ? this.#fresh.takeReadable() : this.#begun.takeReadable());
    this.#isBegunNext = begunFirst === (first === undefined);
    return next;
  }
}

/** Handshakes in the order in which they are asked about. */
class Waiting {
  readonly #askReadable: AskReadable;
  readonly #all = new Set<Handshake>();
  /** As of the last question. */
  #readable: Handshake[] = [];

  constructor(askReadable: AskReadable) {
    this.#askReadable = askReadable;
  }

  get size(): number {
    return this.#all.size;
  }

  add(handshake: Handshake): void {
    this.#all.add(handshake);
  }

  has(handshake: Handshake): boolean {
    return this.#all.has(handshake);
  }

  delete(handshake: Handshake): boolean {
    return this.#all.delete(handshake);
  }

  [Symbol.iterator](): Iterator<Handshake> {
    return this.#all.values();
  }

  /** One that has bytes or an end to be read. Some are asked about, when those found before are used up; the others next time. */
  takeReadable(): Handshake | undefined {
    if (this.#readable.length === 0 && this.#all.size > 0) this.#ask();
    for (;;) {
      const found = this.#readable.shift();
      // It may have ended since.
      if (found === undefined || this.#all.delete(found)) return found;
    }
  }

  #ask(): void {
    const asked = [...this.#all.values().take(DESCRIPTORS_MAX)];
    const answers = this.#askReadable(asked.map(({ descriptor }) => descriptor));
    this.#readable = asked.filter((_, index) => answers[index]);
    if (asked.length === this.#all.size) return;
    for (const handshake of asked) {
      this.#all.delete(handshake);
      this.#all.add(handshake);
    }
  }
}
