/**
 * What spans are made of: a caller that waits for a lease, a call to the key source, a revocation. It listens where these are told
 * already; a request whose lease is held comes by none of them (`LeaseMisses`, the pipeline's way of promises).
 */
import { randomBytes } from "node:crypto";
import { CodedError } from "../../../base/errors.ts";
import { RequestTrace, type TraceParent } from "../../../base/network/trace-context.ts";
import type { Clock } from "../../../base/time/clock.ts";
import type { KeySource } from "../../key-source/key-source.ts";
import type { Caller } from "../../operations/operations.ts";
import type { RecordedKind } from "../../operations/recorder.ts";
import { claimOf } from "../../revocation/event-format.ts";
import type { RevocationEvent, RevocationSink } from "../../revocation/revocation-transport.ts";
import type { Attributes, Span } from "./messages.ts";

interface OpenSpan extends Pick<Span, "name" | "kind"> {
  readonly spanId: string;
  /** Of the clock that does not jump. */
  readonly beganMs: number;
  readonly startMs: number;
  traceId: string;
  parentSpanId: string | undefined;
  attributes: Attributes;
  /** False: nobody wants it, by the caller's own word or since it says what another says. */
  wanted: boolean;
}

export class Tracing {
  readonly #clock: Clock;
  readonly #export: (span: Span) => void;
  /** By service key, the first of those who wait: what the call to the source is made for. */
  readonly #misses = new Map<string, OpenSpan>();
  /** The miss of this turn, until it is known whose it is. */
  #unclaimed: OpenSpan | undefined;
  /** Of this turn likewise: a batch whose items all wait for one lease is one span. */
  #claimant: Caller | undefined;
  /** When a revocation came in that is being applied, by its place in the log. */
  readonly #received = new Map<string, number>();

  constructor(clock: Clock, exportSpan: (span: Span) => void) {
    this.#clock = clock;
    this.#export = exportSpan;
  }

  /** The cache's `MissObserver`. */
  missed(tenant: string, service: string, version: number | undefined, waiting: Promise<unknown>): void {
    const span = this.#open("lease.wait", "internal", names(tenant, service, version));
    const key = keyOf(tenant, service);
    if (!this.#misses.has(key)) this.#misses.set(key, span);
    if (this.#unclaimed === undefined && this.#claimant === undefined) queueMicrotask(() => this.#turnOver());
    this.#unclaimed = span;
    const end = (error?: unknown): void => {
      if (this.#misses.get(key) === span) this.#misses.delete(key);
      this.#end(span, error);
    };
    waiting.then(() => end(), end);
  }

  /** The recorder's `waits`: told in the turn of the miss, or for another reason than a miss. */
  waits(kind: RecordedKind, caller: Caller): string | undefined {
    const span = this.#unclaimed;
    if (span === undefined) return undefined;
    this.#unclaimed = undefined;
    const { requestId } = caller;
    this.#follow(span, requestId instanceof RequestTrace ? requestId.parent : undefined);
    if (caller === this.#claimant) span.wanted = false;
    this.#claimant = caller;
    span.attributes = {
      ...span.attributes,
      "crypto_edge.operation": kind.name,
      "crypto_edge.door": caller.door,
      "crypto_edge.request_id": requestId === undefined ? undefined : String(requestId).slice(0, 64),
    };
    return span.wanted ? span.traceId : undefined;
  }

  /** The source, with a span for each call: a child of the first caller's that waits for it; of none for a renewal. */
  traced(source: KeySource): KeySource {
    return {
      name: source.name,
      ...(source.start === undefined ? undefined : { start: () => source.start!() }),
      ...(source.health === undefined ? undefined : { health: () => source.health!() }),
      close: () => source.close(),
      lease: async (request, signal) => {
        const { tenant, service, version } = request;
        const attributes = { ...names(tenant, service, version), "crypto_edge.source": source.name };
        const span = this.#open("lease.call", "client", attributes);
        // The miss that it is made for is told later in this turn.
        queueMicrotask(() => {
          const miss = this.#misses.get(keyOf(tenant, service));
          if (miss !== undefined) this.#follow(span, { ...miss, sampled: miss.wanted });
        });
        try {
          const grant = await source.lease(request, signal);
          this.#end(span);
          return grant;
        } catch (error) {
          this.#end(span, error);
          throw error;
        }
      },
    };
  }

  /** The guard's port, where the receipt of revocations is seen. */
  watched(sink: RevocationSink, transport: string): RevocationSink {
    const signed = async <T>(jws: string, take: () => Promise<T>): Promise<T> => {
      const claim = claimOf(jws);
      const done = claim && this.#receive(claim.log, claim.seq);
      try {
        return await take();
      } finally {
        done?.();
      }
    };
    return {
      deliver: (event) => {
        const done = event.type === "revoke" ? this.#receive(event.log, event.seq) : undefined;
        sink.deliver(event);
        done?.();
      },
      deliverSigned: (jws) => signed(jws, () => sink.deliverSigned(jws)),
      confirmSigned: (jws) => signed(jws, () => sink.confirmSigned(jws)),
      applyAuthority: (order) => {
        const { tenant, service, version } = order.scope;
        const attributes = { ...names(tenant, service, version), "crypto_edge.transport": transport };
        const span = this.#open("revocation", "consumer", { ...attributes, "crypto_edge.issuer": order.issuer });
        const outcome = sink.applyAuthority(order);
        if (outcome.outcome === "applied") this.#end(span);
        return outcome;
      },
      connected: () => sink.connected(),
      disconnected: (reason) => sink.disconnected(reason),
      resumeAfter: () => sink.resumeAfter(),
    };
  }

  /** The guard's `onApplied`: the keys are wiped. */
  applied(event: RevocationEvent, transport: string): void {
    if (event.type !== "revoke") return;
    const { tenant, service, version, log, seq, state } = event;
    const attributes = {
      ...names(tenant, service, version),
      "crypto_edge.transport": transport,
      "crypto_edge.log": log,
      "crypto_edge.seq": seq,
      "crypto_edge.state": state,
    };
    // One that fills a gap was asked for, not received: it begins here.
    const beganMs = this.#received.get(placeOf(log, seq));
    this.#end(this.#open("revocation", "consumer", attributes, beganMs));
  }

  #receive(log: string, seq: number): (() => void) | undefined {
    const place = placeOf(log, seq);
    // Another transport has brought it a moment ago: that was the receipt.
    if (this.#received.has(place)) return undefined;
    this.#received.set(place, this.#clock.monotonicMs());
    return () => this.#received.delete(place);
  }

  #turnOver(): void {
    this.#unclaimed = undefined;
    this.#claimant = undefined;
  }

  #follow(span: OpenSpan, parent: TraceParent | undefined): void {
    if (parent === undefined) return;
    span.traceId = parent.traceId;
    span.parentSpanId = parent.spanId;
    span.wanted = parent.sampled;
  }

  #open(name: string, kind: Span["kind"], attributes: Attributes, beganMs = this.#clock.monotonicMs()): OpenSpan {
    const startMs = this.#clock.wallMs() - (this.#clock.monotonicMs() - beganMs);
    const ids = randomBytes(24).toString("hex");
    const [traceId, spanId] = [ids.slice(0, 32), ids.slice(32)];
    return { name, kind, attributes, beganMs, startMs, traceId, spanId, parentSpanId: undefined, wanted: true };
  }

  #end(span: OpenSpan, error?: unknown): void {
    if (!span.wanted) return;
    const { beganMs, wanted: _, ...rest } = span;
    const endMs = span.startMs + this.#clock.monotonicMs() - beganMs;
    // The code alone: a message of a source may hold anything.
    const code = error instanceof CodedError ? String(error.code) : "internal_error";
    this.#export({ ...rest, endMs, error: error === undefined ? undefined : code });
  }
}

function names(tenant: string, service: string | undefined, version: number | undefined): Attributes {
  return { "crypto_edge.tenant": tenant, "crypto_edge.service": service, "crypto_edge.version": version };
}

function keyOf(tenant: string, service: string): string {
  return `${tenant}\n${service}`;
}

function placeOf(log: string, seq: number): string {
  return `${log}:${seq}`;
}
