/** What the edges' calls do (core-protocol.md): how often each may come, how long its body may be, and what answers. */
import type { Peer } from "../base/pki/peer-certificate.ts";
import type { Clock } from "../base/time/clock.ts";
import { TokenBuckets } from "../base/time/token-bucket.ts";
import { sendJson } from "./answers.ts";
import { checkConfirmation, instanceOf } from "./confirmations.ts";
import type { EventLogReader, EventStream } from "./event-stream.ts";
import type { LeaseService } from "./leases.ts";
import { type HttpRequest, type HttpResponse, readBody } from "./node-http.ts";
import { parseBody } from "./parse-body.ts";
import type { Presence } from "./presence.ts";
import { CoreError } from "./protocol/core-error.ts";
import { MAX_USAGE_BODY_BYTES, type UsageIntake } from "./usage-intake.ts";

const MAX_LEASE_BODY_BYTES = 4_096;
const MAX_APPLIED_BODY_BYTES = 512;
/** Ten seconds' worth at once: an edge that starts asks for all its keys. */
const BURST_SECONDS = 10;
const MAX_EDGES_LIMITED = 100_000;
const AGENT = /^crypto-edge\/([0-9A-Za-z.+-]{1,40})/;

export interface EdgeLimits {
  readonly leasesPerSecond: number;
  /** Revocation streams open at once: an edge has one for each of its worker processes. */
  readonly streams: number;
  readonly usageBatchesPerSecond: number;
  readonly connections: number;
}

export const DEFAULT_EDGE_LIMITS: EdgeLimits = {
  leasesPerSecond: 1_000,
  streams: 256,
  usageBatchesPerSecond: 10,
  connections: 1_024,
};

/** Counted since the start. */
export interface CallCounters {
  /** Lease calls, and of them those that were refused. */
  leaseCalls: number;
  leaseRefusals: number;
  usageBatches: number;
  usageDuplicates: number;
  usageRefused: number;
  adminCalls: number;
}

export interface EdgeCallParts {
  readonly clock: Clock;
  readonly limits: EdgeLimits;
  readonly leases: LeaseService;
  readonly stream: EventStream;
  readonly eventLog: EventLogReader;
  readonly intake: UsageIntake;
  readonly presence: Presence;
  readonly counters: CallCounters;
}

/** One call of an edge that is known. */
export interface EdgeCall {
  readonly edge: string;
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  readonly peer: Peer;
}

/** Each method answers a call, or throws what the edge is refused with. */
export class EdgeCalls {
  readonly #parts: EdgeCallParts;
  readonly #leaseRates: TokenBuckets;
  readonly #appliedRates: TokenBuckets;
  readonly #usageRates: TokenBuckets;

  constructor(parts: EdgeCallParts) {
    const { clock, limits } = parts;
    const rates = (perSecond: number): TokenBuckets =>
      new TokenBuckets({ perSecond, burst: perSecond * BURST_SECONDS }, clock, MAX_EDGES_LIMITED);
    this.#parts = parts;
    this.#leaseRates = rates(limits.leasesPerSecond);
    this.#appliedRates = rates(limits.leasesPerSecond);
    this.#usageRates = rates(limits.usageBatchesPerSecond);
  }

  /** Lease calls of an edge that other Cores answered. */
  countElsewhere(edge: string, calls: number): void {
    this.#leaseRates.get(edge).take(calls);
  }

  async lease({ edge, request, response, peer }: EdgeCall): Promise<void> {
    const { leases, presence, counters } = this.#parts;
    counters.leaseCalls++;
    const by = sightingOf(request, peer);
    const seen = presence.see(edge, by);
    seen.leaseCalls++;
    seen.recentCalls++;
    try {
      limit(this.#leaseRates, edge, "asks for leases");
      const body = parseBody(await readBody(request, MAX_LEASE_BODY_BYTES));
      const asking = (tenant: string, service: string) => presence.asks(edge, by.instance, tenant, service);
      sendJson(response, 200, await leases.answer(edge, body, asking));
    } catch (error) {
      counters.leaseRefusals++;
      throw error;
    }
  }

  async confirm({ edge, request, response, peer }: EdgeCall): Promise<void> {
    const { presence, eventLog } = this.#parts;
    limit(this.#appliedRates, edge, "confirms");
    const body = parseBody(await readBody(request, MAX_APPLIED_BODY_BYTES));
    const by = sightingOf(request, peer);
    const { seq } = await checkConfirmation(body, by.instance, eventLog);
    presence.confirm(edge, by.instance, seq, by);
    sendJson(response, 200, "{}");
  }

  async takeUsage({ edge, request, response, peer }: EdgeCall): Promise<void> {
    const { intake, presence, counters } = this.#parts;
    limit(this.#usageRates, edge, "sends usage");
    const body = await readBody(request, MAX_USAGE_BODY_BYTES);
    const key = request.headers["idempotency-key"];
    const answer = await intake.take(
      edge,
      { idempotencyKey: typeof key === "string" ? key : undefined, encoding: request.headers["content-encoding"] },
      body,
    );
    presence.see(edge, sightingOf(request, peer)).usageBatches++;
    counters.usageBatches++;
    counters.usageRefused += answer.refused ?? 0;
    if (answer.duplicate) counters.usageDuplicates++;
    sendJson(response, 200, JSON.stringify(answer));
  }

  async follow({ edge, request, response, peer }: EdgeCall): Promise<void> {
    const { stream, presence, limits } = this.#parts;
    presence.see(edge, sightingOf(request, peer));
    if (stream.streamsOf(edge) >= limits.streams) {
      throw new CoreError("rate_limited", `the edge ${edge} holds ${limits.streams} streams already`, {
        retryAfterSeconds: 5,
      });
    }
    const lastEventId = request.headers["last-event-id"];
    await stream.open(edge, response, Array.isArray(lastEventId) ? lastEventId[0] : lastEventId);
  }
}

/** What a call tells of the process that makes it. */
function sightingOf(request: HttpRequest, peer: Peer) {
  return {
    version: AGENT.exec(String(request.headers["user-agent"] ?? ""))?.[1],
    instance: instanceOf(request.headers["crypto-edge-instance"]),
    ...(peer.certificate === undefined ? {} : { certificateEndsAtMs: peer.certificate.notAfterMs }),
  };
}

function limit(rates: TokenBuckets, edge: string, does: string): void {
  const waitMs = rates.get(edge).take(1);
  if (waitMs === 0) return;
  throw new CoreError("rate_limited", `the edge ${edge} ${does} too often`, {
    retryAfterSeconds: Math.ceil(waitMs / 1_000),
  });
}
