/**
 * A crowd of TLS handshakes goes on beside everyone's requests: each is two pieces of some 0.3 ms that can't be cut, the second when the
 * client has done its part. So the next begins when the one before has ended, in a turn of the event loop that has room for it.
 */
import type { Clock, Timer } from "../../time/clock.ts";
import { systemClock } from "../../time/system-clock.ts";
import { isTurnUsed, useTurn, whenTurnHasRoom } from "../../time/turns.ts";
import type { NewConnection } from "../in-turns.ts";

/** A client that is far or slow holds up the next one for so long. */
const WAIT_MS = 2;

export class HandshakeLine {
  readonly #clock: Clock;
  readonly #waiting: NewConnection[] = [];
  #timer: Timer | undefined;
  /** When the last one began; undefined once one has ended since. */
  #begunMs: number | undefined;

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** Lets it go on at once, or pauses it until its turn has come. */
  begin(connection: NewConnection): void {
    if (this.#waiting.length === 0 && this.#restMs() <= 0 && !isTurnUsed()) {
      this.#count();
      return;
    }
    connection.pause();
    this.#waiting.push(connection);
    if (this.#waiting.length === 1) this.#awaitTurn();
  }

  /** A handshake has come to its end, whichever. */
  ended(): void {
    this.#begunMs = undefined;
    useTurn(1);
    if (this.#timer === undefined) return;
    this.#timer.cancel();
    this.#timer = undefined;
    this.#awaitTurn();
  }

  #awaitTurn(): void {
    whenTurnHasRoom(() => this.#beginNext());
  }

  #beginNext(): void {
    const restMs = this.#restMs();
    if (restMs > 0) {
      this.#timer = this.#clock.schedule(restMs, () => {
        this.#timer = undefined;
        this.#awaitTurn();
      });
      return;
    }
    const next = this.#waiting.shift();
    if (next?.destroyed === false) {
      this.#count();
      next.resume();
    }
    if (this.#waiting.length > 0) this.#awaitTurn();
  }

  #count(): void {
    this.#begunMs = this.#clock.monotonicMs();
    useTurn(1);
  }

  #restMs(): number {
    return this.#begunMs === undefined ? 0 : this.#begunMs + WAIT_MS - this.#clock.monotonicMs();
  }
}
