/**
 * Several key sources in turn: the next is asked when one is unavailable. "No such key", "revoked" and "not allowed" are
 * answers, so that a source further down can't bring back a key that one further up has withdrawn.
 */

import { messageOf } from "../../base/errors.ts";
import type { Health } from "../../base/health.ts";
import type { Clock } from "../../base/time/clock.ts";
import { wipeGrant } from "./grant.ts";
import { type KeySource, KeySourceError, type LeaseGrant, type LeaseRequest } from "./key-source.ts";

export interface ChainOptions {
  /** In the order of asking; at least one. The chain closes them. */
  readonly sources: readonly KeySource[];
  readonly clock: Clock;
  /** How long one source may take before the next is asked: their sum must fit into the caller's own limit. */
  readonly attemptTimeoutMs: number;
  /** Failures in a row after which a source is left out for a while. */
  readonly failuresToOpen?: number;
  /** How long: random between half of this and this, doubled by each failed trial … */
  readonly openBaseMs?: number;
  /** … up to this. */
  readonly openMaxMs?: number;
  readonly random?: () => number;
  readonly onCircuit?: (source: string, state: ChainCircuit, reason: string) => void;
}

/** `closed`: it is asked; `open`: it is left out; `half_open`: one call tries it. */
export type ChainCircuit = "closed" | "open" | "half_open";

export interface ChainedSourceStatus {
  readonly source: string;
  readonly circuit: ChainCircuit;
  /** Leases it granted, authoritative refusals it gave, and times it was unavailable. */
  readonly granted: number;
  readonly refused: number;
  readonly unavailable: number;
  /** Times it was not asked, its circuit being open. */
  readonly skipped: number;
  readonly lastFailure: string | undefined;
}

export interface ChainedKeySource extends KeySource {
  /** One for each source, in order. */
  status(): readonly ChainedSourceStatus[];
  health(): Health;
}

const NAME = "chain";

export function isChain(source: KeySource): source is ChainedKeySource {
  return source.name === NAME && "status" in source;
}

export function createChain(options: ChainOptions): ChainedKeySource {
  const links = options.sources.map((source) => new Link(source, options));

  return {
    name: NAME,

    async start() {
      await Promise.all(links.map(({ source }) => source.start?.()));
    },

    async lease(request, signal) {
      const failures: string[] = [];
      let retryAfterMs: number | undefined;
      for (const link of links) {
        if (signal.aborted) break;
        try {
          return await link.lease(request, signal);
        } catch (error) {
          const failure = asKeySourceError(error);
          if (failure.authoritative) throw failure;
          failures.push(`${link.source.name}: ${failure.message}`);
          if (failure.retryAfterMs !== undefined) {
            retryAfterMs = Math.min(retryAfterMs ?? Number.POSITIVE_INFINITY, failure.retryAfterMs);
          }
        }
      }
      const reasons = failures.length === 0 ? "the call was given up" : failures.join("; ");
      throw new KeySourceError("unavailable", `No key source gives a lease: ${reasons}`, {
        ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      });
    },

    health(): Health {
      const away = links.filter(({ circuit }) => circuit !== "closed");
      const ill = links.filter(({ source }) => source.health?.().ok === false);
      const details = [
        ...away.map(({ source, lastFailure }) => `${source.name} is away (${lastFailure})`),
        ...ill.map(({ source }) => `${source.name}: ${source.health?.().detail ?? "not well"}`),
      ];
      const ok = new Set([...away, ...ill]).size < links.length;
      return details.length === 0 ? { ok } : { ok, detail: details.join("; ") };
    },

    status: () => links.map((link) => link.status()),

    async close() {
      const results = await Promise.allSettled(links.map(({ source }) => source.close()));
      const failed = results.find((result) => result.status === "rejected");
      if (failed !== undefined) throw failed.reason;
    },
  };
}

/** One source with its circuit breaker, on the injected clock. */
class Link {
  readonly source: KeySource;
  readonly #clock: Clock;
  readonly #attemptTimeoutMs: number;
  readonly #failuresToOpen: number;
  readonly #openBaseMs: number;
  readonly #openMaxMs: number;
  readonly #random: () => number;
  readonly #onCircuit: NonNullable<ChainOptions["onCircuit"]>;

  #circuit: ChainCircuit = "closed";
  #failuresInRow = 0;
  #openedTimes = 0;
  #openUntilMs = 0;
  #counts = { granted: 0, refused: 0, unavailable: 0, skipped: 0 };
  lastFailure: string | undefined;

  constructor(source: KeySource, options: ChainOptions) {
    this.source = source;
    this.#clock = options.clock;
    this.#attemptTimeoutMs = options.attemptTimeoutMs;
    this.#failuresToOpen = options.failuresToOpen ?? 3;
    this.#openBaseMs = options.openBaseMs ?? 1_000;
    this.#openMaxMs = options.openMaxMs ?? 30_000;
    this.#random = options.random ?? Math.random;
    this.#onCircuit = options.onCircuit ?? (() => {});
  }

  get circuit(): ChainCircuit {
    return this.#circuit;
  }

  status(): ChainedSourceStatus {
    return { source: this.source.name, circuit: this.#circuit, ...this.#counts, lastFailure: this.lastFailure };
  }

  async lease(request: LeaseRequest, signal: AbortSignal): Promise<LeaseGrant> {
    this.#enter();
    const trial = this.#circuit === "half_open";
    try {
      const grant = await this.#attempt(request, signal);
      this.#counts.granted++;
      this.#answered();
      return { ...grant, source: grant.source ?? this.source.name };
    } catch (error) {
      const failure = asKeySourceError(error);
      if (failure.authoritative) {
        this.#counts.refused++;
        this.#answered();
      } else if (signal.aborted) {
        // The caller gave up: that says nothing of the source, but a trial must end.
        if (trial) this.#open("the trial was given up");
      } else {
        this.#failed(failure);
      }
      throw failure;
    }
  }

  /** Throws while the circuit is open; lets one call through when its time is over. */
  #enter(): void {
    if (this.#circuit === "closed") return;
    const nowMs = this.#clock.monotonicMs();
    if (this.#circuit === "open" && nowMs >= this.#openUntilMs) {
      this.#circuit = "half_open";
      this.#onCircuit(this.source.name, "half_open", "one call tries it");
      return;
    }
    this.#counts.skipped++;
    throw new KeySourceError("unavailable", `left out for now (${this.lastFailure})`, {
      retryAfterMs: Math.max(1, Math.ceil(this.#openUntilMs - nowMs)),
    });
  }

  /** One call, bounded in time. A grant that comes too late is wiped. */
  #attempt(request: LeaseRequest, signal: AbortSignal): Promise<LeaseGrant> {
    const abort = new AbortController();
    return new Promise((resolve, reject) => {
      let over = false;
      const end = (): void => {
        over = true;
        timer.cancel();
        signal.removeEventListener("abort", giveUp);
      };
      const giveUp = (): void => {
        end();
        abort.abort();
        reject(new KeySourceError("unavailable", "The call was given up."));
      };
      const timer = this.#clock.schedule(this.#attemptTimeoutMs, () => {
        end();
        abort.abort();
        reject(new KeySourceError("unavailable", `no answer within ${this.#attemptTimeoutMs} ms`));
      });
      signal.addEventListener("abort", giveUp, { once: true });
      if (signal.aborted) return giveUp();
      (async () => this.source.lease(request, abort.signal))().then(
        (grant) => {
          if (over) return wipeGrant(grant);
          end();
          resolve(grant);
        },
        (error: unknown) => {
          if (over) return;
          end();
          reject(error);
        },
      );
    });
  }

  #answered(): void {
    this.#failuresInRow = 0;
    this.#openedTimes = 0;
    if (this.#circuit === "closed") return;
    this.#circuit = "closed";
    this.#onCircuit(this.source.name, "closed", "it answers again");
  }

  #failed(failure: KeySourceError): void {
    this.#counts.unavailable++;
    this.lastFailure = failure.message;
    this.#failuresInRow++;
    if (this.#circuit === "half_open" || this.#failuresInRow >= this.#failuresToOpen) {
      this.#open(failure.message, failure.retryAfterMs);
    }
  }

  #open(reason: string, retryAfterMs = 0): void {
    if (this.#circuit === "open") return;
    const longestMs = Math.min(this.#openMaxMs, this.#openBaseMs * 2 ** Math.min(this.#openedTimes, 20));
    const waitMs = Math.max(longestMs * (0.5 + this.#random() / 2), Math.min(retryAfterMs, this.#openMaxMs));
    this.#openedTimes++;
    this.#circuit = "open";
    this.#openUntilMs = this.#clock.monotonicMs() + waitMs;
    this.#onCircuit(this.source.name, "open", reason);
  }
}

function asKeySourceError(error: unknown): KeySourceError {
  if (error instanceof KeySourceError) return error;
  return new KeySourceError("unavailable", `failed in a way that it should not: ${messageOf(error)}`, { cause: error });
}
