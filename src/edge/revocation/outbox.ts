/**
 * What a publisher of events holds until its broker has them: in order, bounded. When it is full the oldest go; edges see
 * the hole and ask the Core.
 */
export class Outbox {
  readonly #max: number;
  readonly #waiting: string[] = [];
  #send: ((jws: string) => Promise<void>) | undefined;
  #sending: Promise<void> | undefined;
  #lost = 0;

  constructor(max = 10_000) {
    this.#max = max;
  }

  get size(): number {
    return this.#waiting.length;
  }

  /** How many went unsent for want of room. */
  get lost(): number {
    return this.#lost;
  }

  add(jws: string): void {
    this.#waiting.push(jws);
    if (this.#waiting.length > this.#max) {
      this.#waiting.shift();
      this.#lost++;
    }
    this.#pump();
  }

  /** From now on what waits is sent by `send`, one after the other; it resolves once the broker has it. */
  open(send: (jws: string) => Promise<void>): void {
    this.#send = send;
    this.#pump();
  }

  /** The connection is gone: what waits goes on waiting. */
  shut(): void {
    this.#send = undefined;
  }

  /** Resolves when nothing waits any more, or the connection is gone. */
  async drained(): Promise<void> {
    await this.#sending;
  }

  #pump(): void {
    this.#sending ??= this.#run().finally(() => {
      this.#sending = undefined;
    });
  }

  async #run(): Promise<void> {
    // So that `#sending` is set before the first is sent.
    await Promise.resolve();
    for (;;) {
      const send = this.#send;
      const jws = this.#waiting[0];
      if (send === undefined || jws === undefined) return;
      try {
        await send(jws);
      } catch {
        // The connection's own end tells why; the event waits for the next one.
        if (this.#send === send) this.#send = undefined;
        continue;
      }
      // Unless it went for want of room meanwhile.
      if (this.#waiting[0] === jws) this.#waiting.shift();
    }
  }
}
