/** The protocol's calls (core-protocol.md): who may make them, how often, and what answers. */
import { messageOf } from "../base/errors.ts";
import { parseJson } from "../base/json/parse.ts";
import type { Peer } from "../base/pki/peer-certificate.ts";
import type { Clock } from "../base/time/clock.ts";
import { TokenBuckets } from "../base/time/token-bucket.ts";
import { isOwnRequest } from "../base/web/html.ts";
import type { AdminApp } from "./admin-api.ts";
import { type CoreLog, sendJson, sendResponse } from "./answers.ts";
import { callerName, identifyCaller, requireAdmin, requireEdge } from "./caller.ts";
import { checkConfirmation, instanceOf } from "./confirmations.ts";
import type { EventLogReader, EventStream } from "./event-stream.ts";
import type { LeaseService } from "./leases.ts";
import { type HttpRequest, type HttpResponse, readBody } from "./node-http.ts";
import type { Presence } from "./presence.ts";
import { CoreError } from "./protocol/core-error.ts";
import type { SigningKeys } from "./signing-keys.ts";
import { MAX_USAGE_BODY_BYTES, type UsageIntake } from "./usage-intake.ts";

const MAX_LEASE_BODY_BYTES = 4_096;
const MAX_APPLIED_BODY_BYTES = 512;
const MAX_ADMIN_BODY_BYTES = 16_384;
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

export interface RouteParts {
  readonly clock: Clock;
  readonly log: CoreLog;
  readonly trustDomain: string;
  readonly limits: EdgeLimits;
  readonly leases: LeaseService;
  readonly stream: EventStream;
  readonly eventLog: EventLogReader;
  readonly signingKeys: SigningKeys;
  readonly intake: UsageIntake;
  readonly presence: Presence;
  readonly admin: AdminApp;
  readonly counters: CallCounters;
}

export interface Routes {
  /** @throws CoreError, StoreUnavailable, StoreFull, BodyTooLarge */
  handle(request: HttpRequest, response: HttpResponse, peer: Peer): Promise<void>;
  /** Lease calls of an edge that other Cores answered. */
  countElsewhere(edge: string, calls: number): void;
}

export function createRoutes(parts: RouteParts): Routes {
  const { clock, log, limits, leases, stream, eventLog, signingKeys, intake, presence, admin, counters } = parts;
  const rate = (perSecond: number): TokenBuckets =>
    new TokenBuckets({ perSecond, burst: perSecond * BURST_SECONDS }, clock, MAX_EDGES_LIMITED);
  const leaseRates = rate(limits.leasesPerSecond);
  const appliedRates = rate(limits.leasesPerSecond);
  const usageRates = rate(limits.usageBatchesPerSecond);

  const sighting = (request: HttpRequest, peer: Peer) => ({
    version: AGENT.exec(String(request.headers["user-agent"] ?? ""))?.[1],
    instance: instanceOf(request.headers["crypto-edge-instance"]),
    ...(peer.certificate === undefined ? {} : { certificateEndsAtMs: peer.certificate.notAfterMs }),
  });
  const see = (edge: string, request: HttpRequest, peer: Peer) => presence.see(edge, sighting(request, peer));
  const limit = (rates: TokenBuckets, edge: string, what: string): void => {
    const waitMs = rates.get(edge).take(1);
    if (waitMs === 0) return;
    throw new CoreError("rate_limited", `the edge ${edge} ${what} too often`, {
      retryAfterSeconds: Math.ceil(waitMs / 1_000),
    });
  };

  async function lease(request: HttpRequest, response: HttpResponse, peer: Peer, edge: string): Promise<void> {
    counters.leaseCalls++;
    const of = sighting(request, peer);
    const seen = presence.see(edge, of);
    seen.leaseCalls++;
    seen.recentCalls++;
    try {
      limit(leaseRates, edge, "asks for leases");
      const body = parseBody(await readBody(request, MAX_LEASE_BODY_BYTES));
      const asking = (tenant: string, service: string) => presence.asks(edge, of.instance, tenant, service);
      sendJson(response, 200, await leases.answer(edge, body, asking));
    } catch (error) {
      counters.leaseRefusals++;
      throw error;
    }
  }

  async function applied(request: HttpRequest, response: HttpResponse, peer: Peer, edge: string): Promise<void> {
    limit(appliedRates, edge, "confirms");
    const body = parseBody(await readBody(request, MAX_APPLIED_BODY_BYTES));
    const of = sighting(request, peer);
    const { seq } = await checkConfirmation(body, of.instance, eventLog);
    presence.confirm(edge, of.instance, seq, of);
    sendJson(response, 200, "{}");
  }

  async function usage(request: HttpRequest, response: HttpResponse, peer: Peer, edge: string): Promise<void> {
    limit(usageRates, edge, "sends usage");
    const body = await readBody(request, MAX_USAGE_BODY_BYTES);
    const key = request.headers["idempotency-key"];
    const answer = await intake.take(
      edge,
      { idempotencyKey: typeof key === "string" ? key : undefined, encoding: request.headers["content-encoding"] },
      body,
    );
    see(edge, request, peer).usageBatches++;
    counters.usageBatches++;
    counters.usageRefused += answer.refused ?? 0;
    if (answer.duplicate) counters.usageDuplicates++;
    sendJson(response, 200, JSON.stringify(answer));
  }

  async function follow(request: HttpRequest, response: HttpResponse, peer: Peer, edge: string): Promise<void> {
    see(edge, request, peer);
    if (stream.streamsOf(edge) >= limits.streams) {
      throw new CoreError("rate_limited", `the edge ${edge} holds ${limits.streams} streams already`, {
        retryAfterSeconds: 5,
      });
    }
    const lastEventId = request.headers["last-event-id"];
    await stream.open(edge, response, Array.isArray(lastEventId) ? lastEventId[0] : lastEventId);
  }

  async function administer(
    request: HttpRequest,
    response: HttpResponse,
    peer: Peer,
    method: string,
    target: string,
  ): Promise<void> {
    const url = new URL(target, "https://core.invalid");
    // Matched and logged as it was sent: no call under the name of another.
    if (url.pathname !== target.split("?", 1)[0]) throw new CoreError("not_found", "there is no such call");
    const raw = method === "POST" ? await readBody(request, MAX_ADMIN_BODY_BYTES) : undefined;
    if (raw !== undefined && raw.length > 0) requireJson(request);
    counters.adminCalls++;
    if (raw !== undefined && raw.length > 0) parseBody(raw);
    const answer = await admin.handle(
      new Request(url, {
        method,
        ...(raw === undefined ? {} : { body: Uint8Array.from(raw), headers: { "content-type": "application/json" } }),
      }),
    );
    if (method === "POST") {
      const told: unknown = await answer
        .clone()
        .json()
        .catch(() => undefined);
      const by = { caller: callerName(peer), serial: peer.certificate?.serial };
      log("info", "an administrator acted", {
        ...by,
        call: target.split("?", 1)[0],
        status: answer.status,
        answer: told,
      });
    }
    await sendResponse(response, answer);
  }

  return {
    async handle(request, response, peer) {
      refusePages(request);
      const identity = identifyCaller(peer, parts.trustDomain);
      const method = request.method ?? "GET";
      const target = request.url ?? "/";
      const path = target.split("?", 1)[0] ?? "/";
      switch (path) {
        case "/core/v1/leases":
          requireMethod(method, "POST");
          return lease(request, response, peer, requireEdge(identity));
        case "/core/v1/revocations":
          requireMethod(method, "GET");
          return follow(request, response, peer, requireEdge(identity));
        case "/core/v1/applied":
          requireMethod(method, "POST");
          return applied(request, response, peer, requireEdge(identity));
        case "/core/v1/keys":
          requireMethod(method, "GET");
          return sendJson(response, 200, JSON.stringify(await signingKeys.jwks()));
        case "/core/v1/usage":
          requireMethod(method, "POST");
          return usage(request, response, peer, requireEdge(identity));
      }
      if (!path.startsWith("/core/v1/admin/")) throw new CoreError("not_found", "there is no such call");
      requireAdmin(identity);
      return administer(request, response, peer, method, target);
    },
    countElsewhere: (edge, calls) => void leaseRates.get(edge).take(calls),
  };
}

function requireMethod(method: string, wanted: "GET" | "POST"): void {
  if (method !== wanted) throw new CoreError("method_not_allowed", `this call takes ${wanted}`);
}

/**
 * A browser that holds an administrator's certificate, for the console, sends it with whatever any page asks of the Core's address; what
 * a page sends is told by these headers, which it can't forge.
 */
function refusePages(request: HttpRequest): void {
  const header = (name: string): string | undefined => {
    const value = request.headers[name];
    return Array.isArray(value) ? value[0] : value;
  };
  if (!isOwnRequest(header)) {
    throw new CoreError("not_allowed", "a web page of another site sent this: call the Core from a program");
  }
}

/** Which a page can't send unasked either; and nothing that has to be decoded first. */
function requireJson({ headers }: HttpRequest): void {
  const [type, ...parameters] = (headers["content-type"] ?? "").split(";").map((part) => part.trim().toLowerCase());
  const charset = parameters.find((parameter) => parameter.startsWith("charset="))?.replace(/^charset=|"/g, "");
  if (type !== "application/json" || (charset !== undefined && charset !== "utf-8"))
    throw new CoreError("invalid_request", "send content-type: application/json");
  const coding = headers["content-encoding"]?.toLowerCase() ?? "identity";
  if (coding !== "identity") throw new CoreError("invalid_request", "send the body as it is, without content-encoding");
}

function parseBody(body: Buffer): unknown {
  try {
    return parseJson(body);
  } catch (error) {
    throw new CoreError("invalid_request", `the body is not as JSON has to be: ${messageOf(error)}`);
  }
}
