/**
 * The reference Core: core-protocol.md over mutual TLS, its keys in one SQLite database.
 *
 * @example
 * const core = await startCore({ listen: { hostname: "127.0.0.1", port: 0 }, tls, database: "core.db", masterKey, allow });
 * core.admin.createService("tenant-a", "billing");
 * await core.close();
 */

import { messageOf } from "../base/errors.ts";
import { BodyTooLarge, readBody } from "../base/network/tls/body.ts";
import {
  type ServerCertificates,
  startTlsServer,
  type TlsRequest,
  type TlsResponse,
  type TlsServer,
} from "../base/network/tls/server.ts";
import { describeCertificate } from "../base/pki/authority.ts";
import { parseSpiffeId } from "../base/pki/identity.ts";
import type { Peer } from "../base/pki/peer-certificate.ts";
import { readRevocationLists } from "../base/pki/revocation-list.ts";
import type { Clock } from "../base/time/clock.ts";
import { systemClock } from "../base/time/system-clock.ts";
import { type CoreAdmin, createAdmin, type EdgeState } from "./admin.ts";
import { adminCall } from "./admin-api.ts";
import { compileAllowances, type EdgeAllowance } from "./allowance.ts";
import { identifyCaller, requireAdmin, requireEdge } from "./caller.ts";
import { CORE_STATUS, CoreError } from "./core-error.ts";
import type { EventPublisher } from "./event-publisher.ts";
import { EventStream } from "./event-stream.ts";
import type { CoreEvent } from "./events.ts";
import { KeyStore } from "./key-store.ts";
import { checkLeaseTerms, createLeaseDesk, DEFAULT_LEASE_TERMS, type LeaseTerms } from "./leases.ts";
import { RateLimits } from "./rate-limits.ts";
import { SigningKeys } from "./signing-keys.ts";
import { MAX_USAGE_BODY_BYTES, UsageIntake } from "./usage-intake.ts";

export interface CoreOptions {
  /** Port 0 takes a free one. */
  readonly listen: { readonly hostname: string; readonly port: number };
  readonly tls: CoreCertificateTexts;
  /** Default: that of the Core's own certificate. */
  readonly trustDomain?: string;
  /** A path, or `:memory:`. */
  readonly database: string;
  /** 32 bytes. Copied: the caller wipes its own. */
  readonly masterKey: Uint8Array;
  /** Which edges may lease what; nothing by default. */
  readonly allow?: readonly EdgeAllowance[];
  /** A lease for an unknown tenant or service makes it: for `dev` and tests. */
  readonly createOnFirstUse?: boolean;
  readonly lease?: Partial<LeaseTerms>;
  /** Every second, by the protocol; tests may want it sooner. */
  readonly heartbeatMs?: number;
  readonly retainedEvents?: number;
  /** How many lease calls one edge may make in a second, on average; bursts of ten seconds' worth pass. */
  readonly leasesPerSecondPerEdge?: number;
  /** How many revocation streams one edge may hold. */
  readonly streamsPerEdge?: number;
  readonly publishers?: readonly EventPublisher[];
  readonly clock?: Clock;
  /** One line for each thing an operator may want to know. Names no secret. */
  readonly log?: (
    level: "info" | "warn" | "error",
    message: string,
    fields?: Readonly<Record<string, unknown>>,
  ) => void;
}

/** PEM texts. */
export interface CoreCertificateTexts extends ServerCertificates {
  /** Lists of revoked client certificates: who is on one is let in no more. */
  readonly clientCrls?: readonly { readonly name: string; readonly bytes: Uint8Array }[];
}

/** Counted since the start. */
export interface CoreCounters {
  /** Lease calls, and of them those that were refused. */
  leaseCalls: number;
  leaseRefusals: number;
  usageBatches: number;
  usageDuplicates: number;
  publishFailures: number;
  readonly streams: number;
  /** Of all streams: what they were given and have not taken yet. */
  readonly unsentBytes: number;
  readonly connections: number;
}

export interface RunningCore {
  /** `https://<hostname>:<port>` */
  readonly url: string;
  readonly port: number;
  /** The id of this Core's event log. */
  readonly log: string;
  /** The newest event's number. */
  readonly lastSeq: number;
  readonly admin: CoreAdmin;
  readonly counters: CoreCounters;
  /**
   * New connections use the new certificates, open ones go on, but for those whose certificate is on a revocation list now.
   * Rejects, changing nothing, where they are bad.
   */
  reloadCertificates(certificates: CoreCertificateTexts): Promise<void>;
  /** Ends streams, finishes calls in flight (at most a few seconds), closes the database, wipes keys. May be called twice. */
  close(): Promise<void>;
}

const MAX_LEASE_BODY_BYTES = 4_096;
const MAX_ADMIN_BODY_BYTES = 16_384;
const CLOSE_GRACE_MS = 3_000;
/** An edge has one stream for each of its worker processes. */
const DEFAULT_STREAMS_PER_EDGE = 256;
const MAX_EDGES_REMEMBERED = 100_000;

interface SeenEdge {
  lastSeenMs: number;
  leaseCalls: number;
  usageBatches: number;
}

/** @throws Error with a sentence that says what to do, where the database, the certificates or the address can't be used. */
export async function startCore(options: CoreOptions): Promise<RunningCore> {
  const clock = options.clock ?? systemClock;
  const now = (): number => clock.wallMs();
  const log = options.log ?? (() => undefined);
  const publishers = options.publishers ?? [];
  const terms: LeaseTerms = { ...DEFAULT_LEASE_TERMS, ...options.lease };
  checkLeaseTerms(terms);
  const streamsPerEdge = options.streamsPerEdge ?? DEFAULT_STREAMS_PER_EDGE;
  let revoked = await readRevocationLists(options.tls.clientCrls ?? [], options.tls.clientCa, clock);
  const trustDomain = options.trustDomain ?? trustDomainOf(options.tls.cert);

  const store = new KeyStore({
    database: options.database,
    masterKey: options.masterKey,
    now,
    ...(options.retainedEvents === undefined ? {} : { retainedEvents: options.retainedEvents }),
    onEvent: (event) => {
      stream.tell(event);
      publish(event);
    },
  });
  let signingKeys: SigningKeys;
  try {
    signingKeys = await SigningKeys.open(store, now);
  } catch (error) {
    store.close();
    throw error;
  }
  const stream = new EventStream({
    log: store,
    clock,
    heartbeatMs: options.heartbeatMs ?? 1_000,
    onHeartbeat: (event) => publish(event),
  });
  const publish = (event: CoreEvent): void => {
    if (publishers.length === 0) return;
    let jws: string;
    try {
      jws = signingKeys.sign(event);
    } catch (error) {
      counters.publishFailures++;
      log("error", "an event could not be signed", { reason: messageOf(error) });
      return;
    }
    for (const publisher of publishers) {
      const failed = (error: unknown): void => {
        counters.publishFailures++;
        log("warn", "an event could not be published", { publisher: publisher.name, reason: messageOf(error) });
      };
      try {
        void Promise.resolve(publisher.publish(event, jws)).catch(failed);
      } catch (error) {
        failed(error);
      }
    }
  };

  const desk = createLeaseDesk(store, {
    allows: compileAllowances(options.allow ?? []),
    terms,
    createOnFirstUse: options.createOnFirstUse ?? false,
  });
  const intake = new UsageIntake(store, now);
  const limits = new RateLimits(clock, options.leasesPerSecondPerEdge ?? 1_000);
  const seen = new Map<string, SeenEdge>();
  const see = (edge: string): SeenEdge => {
    let state = seen.get(edge);
    if (state === undefined) {
      if (seen.size >= MAX_EDGES_REMEMBERED) seen.clear();
      state = { lastSeenMs: 0, leaseCalls: 0, usageBatches: 0 };
      seen.set(edge, state);
    }
    state.lastSeenMs = now();
    return state;
  };
  const edges = (): EdgeState[] =>
    [...seen].map(([edge, state]) => ({
      edge,
      lastSeenAt: new Date(state.lastSeenMs).toISOString(),
      leaseCalls: state.leaseCalls,
      usageBatches: state.usageBatches,
      streams: stream.streamsOf(edge),
    }));
  const admin = createAdmin(store, {
    edges,
    usage: (limit) => intake.totals(limit),
    auditEvents: (limit) => intake.auditEvents(limit),
    rollSigningKey: () => signingKeys.roll(),
  });
  let closing = false;
  let server: TlsServer | undefined;
  const counters: CoreCounters = {
    leaseCalls: 0,
    leaseRefusals: 0,
    usageBatches: 0,
    usageDuplicates: 0,
    publishFailures: 0,
    get streams() {
      return stream.streams;
    },
    get unsentBytes() {
      return stream.unsentBytes;
    },
    get connections() {
      return server?.connections ?? 0;
    },
  };

  const route = async (request: TlsRequest, response: TlsResponse, peer: Peer): Promise<void> => {
    if (closing) throw new CoreError("unavailable", "this Core is stopping: ask again soon", { retryAfterSeconds: 1 });
    const identity = identifyCaller(peer, trustDomain);
    const method = request.method ?? "GET";
    const target = request.url ?? "/";
    const path = target.split("?", 1)[0] ?? "/";
    switch (path) {
      case "/core/v1/leases": {
        requireMethod(method, "POST");
        const edge = requireEdge(identity);
        counters.leaseCalls++;
        see(edge).leaseCalls++;
        try {
          const waitSeconds = limits.take(edge);
          const body = parseJson(await readBody(request, MAX_LEASE_BODY_BYTES));
          if (waitSeconds > 0) {
            throw new CoreError("rate_limited", `the edge ${edge} asks for leases too often`, {
              retryAfterSeconds: waitSeconds,
            });
          }
          return sendJson(response, 200, desk.answer(edge, body));
        } catch (error) {
          counters.leaseRefusals++;
          throw error;
        }
      }
      case "/core/v1/revocations": {
        requireMethod(method, "GET");
        const edge = requireEdge(identity);
        see(edge);
        if (stream.streamsOf(edge) >= streamsPerEdge) {
          throw new CoreError("rate_limited", `the edge ${edge} holds ${streamsPerEdge} streams already`, {
            retryAfterSeconds: 5,
          });
        }
        const lastEventId = request.headers["last-event-id"];
        return stream.open(edge, response, Array.isArray(lastEventId) ? lastEventId[0] : lastEventId);
      }
      case "/core/v1/keys": {
        requireMethod(method, "GET");
        return sendJson(response, 200, JSON.stringify(signingKeys.jwks));
      }
      case "/core/v1/usage": {
        requireMethod(method, "POST");
        const edge = requireEdge(identity);
        const body = await readBody(request, MAX_USAGE_BODY_BYTES);
        const key = request.headers["idempotency-key"];
        const answer = await intake.take(
          edge,
          { idempotencyKey: typeof key === "string" ? key : undefined, encoding: request.headers["content-encoding"] },
          body,
        );
        see(edge).usageBatches++;
        counters.usageBatches++;
        if (answer.duplicate) counters.usageDuplicates++;
        return sendJson(response, 200, JSON.stringify(answer));
      }
    }
    if (!path.startsWith("/core/v1/admin/")) throw new CoreError("not_found", "there is no such call");
    requireAdmin(identity);
    const raw = method === "POST" ? await readBody(request, MAX_ADMIN_BODY_BYTES) : Buffer.alloc(0);
    const answer = await adminCall(
      admin,
      method,
      new URL(target, "https://core.invalid"),
      raw.length === 0 ? undefined : parseJson(raw),
    );
    if (method === "POST") log("info", "an administrator acted", { call: path, answer: answer.body });
    sendJson(response, answer.status, JSON.stringify(answer.body));
  };

  server = await startTlsServer({
    hostname: options.listen.hostname,
    port: options.listen.port,
    certificates: options.tls,
    admit: ({ certificate }) => certificate && revoked.refusalOf(certificate),
    onRequest: (request, response, peer) =>
      route(request, response, peer).catch((error: unknown) => sendProblem(request, response, error, log)),
    onRefused: ({ remoteAddress, code, reason }) =>
      log("warn", "a connection was refused", { remoteAddress, code, reason }),
    onError: (error) => log("error", "a connection failed", { reason: messageOf(error) }),
  }).catch((error: unknown) => {
    stream.close();
    store.close();
    throw listenError(error, options.listen);
  });
  let closed: Promise<void> | undefined;
  const host = options.listen.hostname.includes(":") ? `[${options.listen.hostname}]` : options.listen.hostname;
  return {
    url: `https://${host}:${server.port}`,
    port: server.port,
    log: store.log,
    get lastSeq() {
      return store.lastSeq;
    },
    admin,
    counters,
    async reloadCertificates(certificates) {
      const lists = await readRevocationLists(certificates.clientCrls ?? [], certificates.clientCa, clock);
      server.reload(certificates);
      revoked = lists;
      server.recheck();
    },
    close() {
      closed ??= (async () => {
        closing = true;
        stream.close();
        await server.close(CLOSE_GRACE_MS);
        for (const publisher of publishers) await publisher.close?.().catch(() => undefined);
        store.close();
      })();
      return closed;
    },
  };
}

function trustDomainOf(certificate: string): string {
  for (const uri of describeCertificate(certificate).uris) {
    const id = parseSpiffeId(uri);
    if (id !== undefined) return id.trustDomain;
  }
  throw new Error(
    "the Core's certificate names no SPIFFE ID: make one with `crypto-edge pki core`, or set the trust domain",
  );
}

function listenError(error: unknown, listen: { hostname: string; port: number }): Error {
  const { code } = error as NodeJS.ErrnoException;
  const where = `${listen.hostname}:${listen.port}`;
  if (code === "EADDRINUSE") return new Error(`${where} is in use: stop what listens there, or choose another port`);
  if (code === "EACCES") return new Error(`this user may not listen on ${where}: choose a port above 1023`);
  return new Error(`the Core can't listen on ${where}: ${messageOf(error)}`, { cause: error });
}

function requireMethod(method: string, wanted: "GET" | "POST"): void {
  if (method !== wanted) throw new CoreError("method_not_allowed", `this call takes ${wanted}`);
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    throw new CoreError("invalid_request", "the body is not JSON");
  }
}

function sendJson(response: TlsResponse, status: number, json: string): void {
  response.statusCode = status;
  response.setHeader("content-type", "application/json");
  response.setHeader("cache-control", "no-store");
  response.end(json);
}

function sendProblem(
  request: TlsRequest,
  response: TlsResponse,
  thrown: unknown,
  log: NonNullable<CoreOptions["log"]>,
): void {
  // The caller has gone, or a stream has begun: there is nobody to tell.
  if (response.headersSent || response.destroyed) return void response.destroy();
  // What is left of a body is thrown away, so that the answer gets through.
  request.resume();
  let error: CoreError;
  if (thrown instanceof CoreError) error = thrown;
  else if (thrown instanceof BodyTooLarge) error = new CoreError("too_large", "the body is too large");
  else {
    log("error", "a call failed", { reason: messageOf(thrown) });
    error = new CoreError("unavailable", "the Core failed at this call: ask again soon", { retryAfterSeconds: 1 });
  }
  const status = CORE_STATUS[error.code];
  response.statusCode = status;
  response.setHeader("content-type", "application/problem+json");
  response.setHeader("cache-control", "no-store");
  if (error.retryAfterSeconds !== undefined) response.setHeader("retry-after", String(error.retryAfterSeconds));
  response.end(
    JSON.stringify({
      type: "about:blank",
      title: error.code,
      status,
      code: error.code,
      detail: error.message,
      ...error.details,
    }),
  );
}
