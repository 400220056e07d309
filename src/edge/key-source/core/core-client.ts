/** The calls of core-protocol.md that an edge makes, over one set of connection settings. */
import { randomUUID } from "node:crypto";
import type { JSONWebKeySet } from "jose";
import { messageOf } from "../../../base/errors.ts";
import { parseRetryAfter } from "../../../base/network/retry-after.ts";
import type { Clock } from "../../../base/time/clock.ts";
import { systemClock } from "../../../base/time/system-clock.ts";
import { KeySourceError, type LeaseGrant, type LeaseRequest } from "../key-source.ts";
import { isKeySet, isProblem, isUsageAnswer } from "./answer-shapes.ts";
import type { CoreAnswer } from "./core-call.ts";
import { CoreCallError } from "./core-call-error.ts";
import { type CoreCertificates, oneLine } from "./core-certificates.ts";
import { CoreConnection } from "./core-connection.ts";
import { type RevocationHandlers, readEventStream } from "./event-stream-reader.ts";
import { createLeaseRecipient } from "./hpke-open.ts";
import { openLeaseAnswer } from "./lease-answer.ts";
import { turnForLease } from "./turn-for-lease.ts";

export interface CoreClientOptions {
  /** `https://host:port` */
  readonly url: string;
  readonly certificates: CoreCertificates;
  /** The name that the Core's certificate must carry, where it is not the URL's host. */
  readonly serverName?: string | undefined;
  readonly clock?: Clock;
  readonly timeoutMs?: number;
  /** Connections for calls at once; more wait. */
  readonly maxConnections?: number;
  /** Which process of the edge this is, told with every call; random where it is not given. */
  readonly instance?: string;
}

export interface CoreClient {
  readonly url: URL;

  /** A lease (core-protocol.md, "Leases"). The key buffers are the caller's. @throws KeySourceError */
  lease(request: LeaseRequest, signal?: AbortSignal): Promise<LeaseGrant>;

  /** The keys that verify signed events. @throws CoreCallError */
  keys(signal?: AbortSignal): Promise<JSONWebKeySet>;

  /**
   * Hands in one batch of usage records: NDJSON, packed with gzip where `gzip` says so. The same batch with the same key
   * may be sent again and again: it counts once. @throws CoreCallError, `retryable` or not
   */
  usage(batch: UsageBatch, signal?: AbortSignal): Promise<{ readonly accepted: number; readonly duplicate: boolean }>;

  /** Tells that this process has applied every event of the log up to one. @throws CoreCallError; 404: this Core does not know the call */
  applied(place: { readonly log: string; readonly seq: number }, signal?: AbortSignal): Promise<void>;

  /**
   * The revocation stream, after `lastEventId` where one is given. Resolves when the Core ends it, rejects with
   * CoreCallError when it can't be had or breaks off, or with that too when `signal` aborts. Only the head has a timeout:
   * whether a quiet stream lives is seen by its heartbeats. What `onMessage` throws ends the stream.
   */
  revocations(lastEventId: string | undefined, handlers: RevocationHandlers, signal: AbortSignal): Promise<void>;

  /** New connections use these certificates. @throws Error, changing nothing, where they are bad */
  reload(certificates: CoreCertificates): void;

  /** Calls and streams in flight reject. May be called twice. */
  close(): void;
}

export interface UsageBatch {
  readonly idempotencyKey: string;
  readonly body: Uint8Array;
  readonly gzip: boolean;
}

export const DEFAULT_TIMEOUT_MS = 10_000;
const DEFAULT_MAX_CONNECTIONS = 16;
const MAX_ANSWER_BYTES = 256 * 1024;
const JSON_BODY = { "content-type": "application/json" };
/** A Core can't put an edge to sleep for ever. */
const MAX_RETRY_AFTER_MS = 3_600_000;

/** @throws Error with a sentence that says what to do, for a URL or certificates that can never work. */
export function createCoreClient(options: CoreClientOptions): CoreClient {
  const clock = options.clock ?? systemClock;
  const connection = new CoreConnection({
    url: options.url,
    certificates: options.certificates,
    serverName: options.serverName,
    clock,
    timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    maxConnections: options.maxConnections ?? DEFAULT_MAX_CONNECTIONS,
    instance: options.instance ?? newInstance(),
  });
  const core = `the Core at ${connection.url.origin}`;

  const problem = ({ status, headers, body: bytes }: CoreAnswer): CoreCallError => {
    const body = parsed(bytes);
    const retryAfterMs = parseRetryAfter(headers.get("retry-after"), clock.wallMs(), MAX_RETRY_AFTER_MS);
    const retry = retryAfterMs === undefined ? {} : { retryAfterMs };
    if (!isProblem(body)) return new CoreCallError(`${core} answered ${status}`, { status, ...retry });
    const { code, detail = code } = body;
    return new CoreCallError(`${core} answered ${status}: ${oneLine(detail)}`, { status, code, ...retry });
  };
  const json = (answer: CoreAnswer): unknown => {
    if (answer.status !== 200) throw problem(answer);
    if (answer.fault !== undefined) throw answer.fault;
    const body = parsed(answer.body);
    if (body !== undefined) return body;
    throw new CoreCallError(`${core} answered with something that is not JSON: check what listens there`);
  };

  return {
    url: connection.url,

    async lease(request, signal) {
      try {
        const turn = turnForLease();
        if (turn !== undefined) await turn;
        const recipient = createLeaseRecipient();
        const answer = await connection.send({
          method: "POST",
          path: "/core/v1/leases",
          headers: JSON_BODY,
          body: JSON.stringify({
            tenant: request.tenant,
            service: request.service,
            version: request.version,
            recipient: recipient.publicKey,
          }),
          maxBytes: MAX_ANSWER_BYTES,
          signal,
        });
        return await openLeaseAnswer(json(answer), request, recipient, core);
      } catch (error) {
        throw toKeySourceError(error);
      }
    },

    async keys(signal) {
      const call = { method: "GET", path: "/core/v1/keys", maxBytes: MAX_ANSWER_BYTES, signal } as const;
      const body = json(await connection.send(call));
      if (!isKeySet(body)) throw new CoreCallError(`${core} answered with something that is no JWK set`);
      return body;
    },

    async usage(batch, signal) {
      const answer = await connection.send({
        method: "POST",
        path: "/core/v1/usage",
        headers: {
          "content-type": "application/x-ndjson",
          "idempotency-key": batch.idempotencyKey,
          ...(batch.gzip ? { "content-encoding": "gzip" } : {}),
        },
        body: batch.body,
        maxBytes: MAX_ANSWER_BYTES,
        signal,
      });
      const body = json(answer);
      if (!isUsageAnswer(body)) throw new CoreCallError(`${core} did not say that it took the batch`);
      return body;
    },

    async applied({ log, seq }, signal) {
      const answer = await connection.send({
        method: "POST",
        path: "/core/v1/applied",
        headers: JSON_BODY,
        body: JSON.stringify({ log, seq }),
        maxBytes: MAX_ANSWER_BYTES,
        signal,
      });
      json(answer);
    },

    async revocations(lastEventId, handlers, signal) {
      const answer = await connection.send({
        method: "GET",
        path: "/core/v1/revocations",
        headers: {
          "cache-control": "no-cache",
          ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }),
        },
        maxBytes: MAX_ANSWER_BYTES,
        signal,
        stream: true,
      });
      const { stream, headers } = answer;
      if (stream === undefined) throw problem(answer);
      if (!/^text\/event-stream\b/.test(headers.get("content-type") ?? "")) {
        stream.destroy();
        throw new CoreCallError(`${core} answered with something that is no event stream: check what listens there`);
      }
      handlers.onOpen?.();
      await readEventStream(connection, stream, handlers, signal, core);
    },

    reload: (certificates) => connection.reload(certificates),
    close: () => connection.close(),
  };
}

/** Names a process of the edge among its others: nothing secret. */
export function newInstance(): string {
  return randomUUID();
}

function toKeySourceError(error: unknown): KeySourceError {
  if (!(error instanceof CoreCallError)) {
    return new KeySourceError("unavailable", `the lease call failed: ${messageOf(error)}`, { cause: error });
  }
  const { message, code, status, retryAfterMs } = error;
  const options = { cause: error, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  if (status === 404 && code === "key_not_found") return new KeySourceError("key_not_found", message, options);
  if (status === 410 && code === "key_revoked") return new KeySourceError("key_revoked", message, options);
  if (status === 403 && (code === "edge_not_allowed" || code === "not_allowed")) {
    return new KeySourceError("edge_not_allowed", message, options);
  }
  return new KeySourceError("unavailable", message, options);
}

/** undefined where it is no JSON. */
function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    return undefined;
  }
}
