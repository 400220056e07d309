/** The open connections of a server: which of them idle or dawdle, and how they end when the server stops. */

export interface PendingBody {
  readonly complete: boolean;
}

/** What whoever speaks HTTP on a connection tells of it, so that the server's time limits hold. */
export interface ConnectionActivity {
  requestBegan(): void;
  /** The body has not come with the head. `body`: which one, where requests overlap; it need not be told of once it is complete. */
  bodyAwaited(body?: PendingBody): void;
  /** It has come whole. */
  bodyTaken(body?: PendingBody): void;
  /** The answer is there, and the peer does not read it. */
  answerWaits(): void;
  /** The answer has no end of its own: a server that stops does not wait for it. */
  answerStreams(): void;
  /** It reads again: of answers without an end. */
  answerFlows(): void;
  /** Answered or given up. */
  requestEnded(): void;
  /** For one whose requests nobody counts: how many bytes have come on it, so that it is idle only while that number stays. */
  measure(bytesRead: () => number): void;
  /** For a protocol that can take its leave: called once when the server closes; the connection then has a moment to end by itself. */
  onClosing(finish: () => void): void;
  /** Nothing more will be read or answered: the other side has a moment to take what was written. */
  lastAnswered(): void;
  /** The server is closing or draining: the answer in the making is the connection's last. */
  readonly closing: boolean;
}

export interface TimeLimits {
  /** How long a connection may be open without a request in flight, take to send a request's head, or to read an answer. */
  readonly idleTimeoutMs: number;
  /** From a request's head to the end of its body. */
  readonly bodyTimeoutMs: number;
}

/** One open connection; the sweep reads it. */
export interface Connection<Peer> {
  readonly socket: { destroy(): void };
  readonly peer: Peer;
  inFlight: number;
  /** Its answer has no end of its own. */
  streams: boolean;
  /** When it last became idle; meaningless while a request is in flight. */
  idleSinceMs: number;
  /** Where nobody counts its requests, and how many there were at the last sweep. */
  bytesRead: (() => number) | undefined;
  bytesSeen: number;
  /** Ends it in its protocol's own way. */
  finish: (() => void) | undefined;
  /** Asked to, and at it. */
  finishing: boolean;
  /** Since when an answer waits to be read. */
  waitsSinceMs: number | undefined;
  /** When this side ended it. */
  endedAtMs: number | undefined;
  /** Requests whose body has not ended: when each began. */
  readonly bodies: Map<PendingBody, number>;
}

const SWEEP_MS = 500;
/** A socket that is destroyed while bytes come in is reset, and its peer may lose the last answer (RFC 9112, 9.6). */
const LINGER_MS = 2_000;
const GRACE_STEP_MS = 20;
/** How long a protocol has to take its leave. */
const FINISH_MS = 1_000;

export class Connections<Peer> {
  readonly #open = new Set<Connection<Peer>>();
  readonly #limits: TimeLimits;
  readonly #isOver: (peer: Peer) => boolean;
  #sweep: ReturnType<typeof setInterval> | undefined;
  #sweptAtMs = 0;
  #closing = false;
  #draining = false;

  /** `isOver`: a peer that may stay no longer. */
  constructor(limits: TimeLimits, isOver: (peer: Peer) => boolean) {
    this.#limits = limits;
    this.#isOver = isOver;
  }

  get size(): number {
    return this.#open.size;
  }

  get closing(): boolean {
    return this.#closing;
  }

  add(socket: { destroy(): void }, peer: Peer): Connection<Peer> {
    const connection: Connection<Peer> = {
      socket,
      peer,
      inFlight: 0,
      streams: false,
      idleSinceMs: performance.now(),
      bytesRead: undefined,
      bytesSeen: 0,
      finish: undefined,
      finishing: false,
      waitsSinceMs: undefined,
      endedAtMs: undefined,
      bodies: new Map(),
    };
    this.#open.add(connection);
    this.#sweep ??= setInterval(() => this.#endOverdue(), SWEEP_MS).unref();
    if (this.#sweptAtMs === 0) this.#sweptAtMs = connection.idleSinceMs;
    return connection;
  }

  delete(connection: Connection<Peer>): void {
    this.#open.delete(connection);
  }

  activityOf(connection: Connection<Peer>): ConnectionActivity {
    const only: PendingBody = { complete: false };
    const isClosing = (): boolean => this.#closing || this.#draining;
    return {
      requestBegan: () => void connection.inFlight++,
      bodyAwaited: (body = only) => void connection.bodies.set(body, performance.now()),
      bodyTaken: (body = only) => void connection.bodies.delete(body),
      answerWaits() {
        connection.waitsSinceMs = performance.now();
      },
      answerStreams() {
        connection.streams = true;
      },
      answerFlows() {
        connection.waitsSinceMs = undefined;
      },
      requestEnded() {
        connection.streams = false;
        connection.waitsSinceMs = undefined;
        if (connection.bodies.size > 0) connection.bodies.delete(only);
        connection.inFlight--;
        connection.idleSinceMs = performance.now();
      },
      measure(bytesRead) {
        connection.bytesRead = bytesRead;
      },
      onClosing(finish) {
        connection.finish = finish;
      },
      lastAnswered() {
        connection.endedAtMs ??= performance.now();
      },
      get closing() {
        return isClosing();
      },
    };
  }

  /** Ends the connections whose peer may stay no longer. */
  destroyWhere(isOver: (peer: Peer) => boolean): void {
    for (const { peer, socket } of this.#open) if (isOver(peer)) socket.destroy();
  }

  /**
   * From now on each answer is its connection's last; requests and new connections are taken as before. Resolves after `leastMs`, and then when none is
   * open any more or after `mostMs`. Answers without an end are not waited for.
   */
  async drain(leastMs: number, mostMs: number): Promise<void> {
    this.#draining = true;
    const beganMs = performance.now();
    for (;;) {
      const passedMs = performance.now() - beganMs;
      const isDone = passedMs >= leastMs && [...this.#open].every(({ streams }) => streams);
      if (isDone || passedMs >= mostMs) return;
      await new Promise((resolve) => setTimeout(resolve, GRACE_STEP_MS));
    }
  }

  /** Waits for requests in flight up to `graceMs`, then cuts what is left. The caller accepts no more before. */
  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    const deadlineMs = performance.now() + graceMs;
    const finishedMs = Math.min(deadlineMs, performance.now() + FINISH_MS);
    for (const connection of this.#open) {
      connection.finishing = connection.finish !== undefined;
      connection.finish?.();
    }
    for (;;) {
      let busy = false;
      for (const { inFlight, streams, finishing, socket } of this.#open) {
        const finishes = finishing && performance.now() < finishedMs;
        if ((inFlight === 0 && !finishes) || streams) socket.destroy();
        else busy = true;
      }
      if (!busy || performance.now() >= deadlineMs) break;
      await new Promise((resolve) => setTimeout(resolve, GRACE_STEP_MS));
    }
    for (const { socket } of this.#open) socket.destroy();
    clearInterval(this.#sweep);
  }

  #endOverdue(): void {
    const nowMs = performance.now();
    const isLate = nowMs - this.#sweptAtMs > 2 * SWEEP_MS;
    this.#sweptAtMs = nowMs;
    // The process itself was held up: what seems overdue may lie in the kernel, not yet read.
    if (isLate) return;
    const { idleTimeoutMs, bodyTimeoutMs } = this.#limits;
    for (const connection of this.#open) {
      const bytes = connection.bytesRead?.() ?? 0;
      if (bytes !== connection.bytesSeen) connection.idleSinceMs = nowMs;
      connection.bytesSeen = bytes;
      const { socket, peer, inFlight, finishing, idleSinceMs, waitsSinceMs, endedAtMs, bodies } = connection;
      let overdue = inFlight === 0 && nowMs - idleSinceMs > idleTimeoutMs;
      overdue ||= waitsSinceMs !== undefined && nowMs - waitsSinceMs > idleTimeoutMs;
      overdue ||= endedAtMs !== undefined && nowMs - endedAtMs > LINGER_MS;
      for (const [request, beganMs] of bodies) overdue ||= !request.complete && nowMs - beganMs > bodyTimeoutMs;
      if (overdue || this.#isOver(peer) || (this.#closing && inFlight === 0 && !finishing)) socket.destroy();
    }
  }
}
