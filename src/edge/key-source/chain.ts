/**
 * Several key sources in turn: the next is asked when one is unavailable. "No such key", "revoked" and "not allowed" are
 * answers, so that a source further down can't bring back a key that one further up has withdrawn.
 */

import { messageOf } from "../../base/errors.ts";
import type { Health } from "../../base/health.ts";
import { type Backoff, longestBackoffMs } from "../../base/time/backoff.ts";
import { CircuitBreaker, type CircuitState } from "../../base/time/circuit-breaker.ts";
import type { Clock } from "../../base/time/clock.ts";
import { withDeadline } from "../../base/time/deadline.ts";
import { CHAIN_NAME, type ChainedKeySource, type ChainedSourceStatus } from "./chained.ts";
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
  /** How long: random between half of this and this, doubled by each failed trial. */
  readonly open?: Backoff;
  readonly random?: () => number;
  readonly onCircuit?: (source: string, state: CircuitState, reason: string) => void;
}

export function createChain(options: ChainOptions): ChainedKeySource {
  const sources = options.sources.map((source) => new ChainedSource(source, options));

  return {
    name: CHAIN_NAME,

    async start() {
      await Promise.all(sources.map(({ source }) => source.start?.()));
    },

    async lease(request, signal) {
      const failures: string[] = [];
      let retryAfterMs: number | undefined;
      for (const chained of sources) {
        if (signal.aborted) break;
        try {
          return await chained.lease(request, signal);
        } catch (error) {
          const failure = asKeySourceError(error);
          if (failure.authoritative) throw failure;
          failures.push(`${chained.source.name}: ${failure.message}`);
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
      const away = sources.filter(({ circuit }) => circuit !== "closed");
      const ill = sources.filter(({ source }) => source.health?.().ok === false);
      const details = [
        ...away.map(({ source, lastFailure }) => `${source.name} is away (${lastFailure})`),
        ...ill.map(({ source }) => `${source.name}: ${source.health?.().detail ?? "not well"}`),
      ];
      const ok = new Set([...away, ...ill]).size < sources.length;
      return details.length === 0 ? { ok } : { ok, detail: details.join("; ") };
    },

    status: () => sources.map((chained) => chained.status()),

    async close() {
      const results = await Promise.allSettled(sources.map(({ source }) => source.close()));
      const failed = results.find((result) => result.status === "rejected");
      if (failed !== undefined) throw failed.reason;
    },
  };
}

/** One source with its circuit breaker, on the injected clock. */
class ChainedSource {
  readonly source: KeySource;
  readonly #options: ChainOptions;
  readonly #open: Backoff;
  readonly #circuit: CircuitBreaker;
  #counts = { granted: 0, refused: 0, unavailable: 0, skipped: 0 };
  lastFailure: string | undefined;

  constructor(source: KeySource, options: ChainOptions) {
    const { random = Math.random, open = { firstMs: 1_000, maxMs: 30_000 } } = options;
    this.source = source;
    this.#options = options;
    this.#open = open;
    this.#circuit = new CircuitBreaker({
      failuresToOpen: options.failuresToOpen ?? 3,
      openForMs: (openings) => longestBackoffMs(open, openings) * (0.5 + random() / 2),
      onChange: (state, reason) => options.onCircuit?.(source.name, state, reason),
    });
  }

  get circuit(): CircuitState {
    return this.#circuit.state;
  }

  status(): ChainedSourceStatus {
    return { source: this.source.name, circuit: this.circuit, ...this.#counts, lastFailure: this.lastFailure };
  }

  async lease(request: LeaseRequest, signal: AbortSignal): Promise<LeaseGrant> {
    this.#enter();
    const { period, state } = this.#circuit;
    try {
      const grant = await this.#attempt(request, signal);
      this.#counts.granted++;
      this.#circuit.succeeded(period);
      return { ...grant, source: grant.source ?? this.source.name };
    } catch (error) {
      const failure = asKeySourceError(error);
      const nowMs = this.#options.clock.monotonicMs();
      if (failure.authoritative) {
        this.#counts.refused++;
        this.#circuit.succeeded(period);
      } else if (signal.aborted) {
        // The caller gave up: that says nothing of the source, but a trial must end.
        if (state === "half_open") this.#circuit.failed(period, nowMs, "the trial was given up");
      } else {
        this.#counts.unavailable++;
        this.lastFailure = failure.message;
        const wishMs = Math.min(failure.retryAfterMs ?? 0, this.#open.maxMs);
        this.#circuit.failed(period, nowMs, failure.message, wishMs);
      }
      throw failure;
    }
  }

  /** Throws while the circuit is open; lets one call through when its time is over. */
  #enter(): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#circuit.state === "closed" || this.#circuit.tryAgain(nowMs)) return;
    this.#counts.skipped++;
    throw new KeySourceError("unavailable", `left out for now (${this.lastFailure})`, {
      retryAfterMs: Math.max(1, Math.ceil(this.#circuit.remainingMs(nowMs))),
    });
  }

  /** One call, bounded in time. A grant that comes too late is wiped. */
  #attempt(request: LeaseRequest, signal: AbortSignal): Promise<LeaseGrant> {
    const { clock, attemptTimeoutMs: timeoutMs } = this.#options;
    return withDeadline({
      clock,
      timeoutMs,
      signal,
      work: (attempt) => this.source.lease(request, attempt),
      errorFor: (cause) =>
        new KeySourceError(
          "unavailable",
          cause === "aborted" ? "The call was given up." : `no answer within ${timeoutMs} ms`,
        ),
      discard: wipeGrant,
    });
  }
}

function asKeySourceError(error: unknown): KeySourceError {
  if (error instanceof KeySourceError) return error;
  return new KeySourceError("unavailable", `failed in a way that it should not: ${messageOf(error)}`, { cause: error });
}
