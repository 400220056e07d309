/** The calls of core-protocol.md that an edge makes, over one set of connection settings. */

import { randomUUID } from "node:crypto";
import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { createParser } from "eventsource-parser";
import type { JSONWebKeySet } from "jose";
import { messageOf } from "../../../base/errors.ts";
import { parseRetryAfter } from "../../../base/network/retry-after.ts";
import { SERVICE_KEY_BYTES } from "../../../base/service-key.ts";
import type { Clock } from "../../../base/time/clock.ts";
import { systemClock } from "../../../base/time/system-clock.ts";
import { wipe } from "../../../base/wipe.ts";
import { KeySourceError, type LeasedServiceKey, type LeaseGrant, type LeaseRequest } from "../key-source.ts";
import { type CoreCertificates, oneLine } from "./core-certificates.ts";
import { type CoreAnswer, CoreCallError, CoreConnection } from "./core-connection.ts";
import { createLeaseRecipient, type LeaseRecipient, leaseAad } from "./hpke-open.ts";

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

export interface RevocationHandlers {
  /** The Core has accepted the stream. */
  onOpen?(): void;
  onMessage(message: StreamMessage): void;
}

/** One server-sent event, not interpreted. */
export interface StreamMessage {
  readonly id: string | undefined;
  readonly event: string | undefined;
  readonly data: string;
}

export const DEFAULT_TIMEOUT_MS = 10_000;
const DEFAULT_MAX_CONNECTIONS = 16;
const MAX_ANSWER_BYTES = 256 * 1024;
const MAX_MESSAGE_BYTES = 64 * 1024;
/** A Core can't put an edge to sleep for ever. */
const MAX_RETRY_AFTER_MS = 3_600_000;

const LeaseAnswer = Type.Object({
  tenant: Type.String({ maxLength: 128 }),
  service: Type.String({ maxLength: 128 }),
  ttl_seconds: Type.Number({ exclusiveMinimum: 0, maximum: 86_400 * 366 }),
  refresh_after_seconds: Type.Number({ exclusiveMinimum: 0, maximum: 86_400 * 366 }),
  log: Type.String({ minLength: 1, maxLength: 64, pattern: "^[A-Za-z0-9_-]+$" }),
  revocation_seq: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  versions: Type.Array(
    Type.Object({
      version: Type.Integer({ minimum: 1, maximum: 2 ** 32 - 1 }),
      state: Type.Union([Type.Literal("active"), Type.Literal("deprecated")]),
      // 32 bytes; 32 bytes and a tag of 16
      enc: Type.String({ pattern: "^[A-Za-z0-9_-]{43}$" }),
      sealed: Type.String({ pattern: "^[A-Za-z0-9_-]{64}$" }),
    }),
    { minItems: 1, maxItems: 128 },
  ),
});
const isLeaseAnswer = TypeCompiler.Compile(LeaseAnswer);
const isProblem = TypeCompiler.Compile(
  Type.Object({ code: Type.String({ maxLength: 64 }), detail: Type.Optional(Type.String()) }),
);
const isJwks = TypeCompiler.Compile(
  Type.Object({ keys: Type.Array(Type.Object({ kty: Type.String() }), { maxItems: 64 }) }),
);
const isUsageAnswer = TypeCompiler.Compile(Type.Object({ accepted: Type.Number(), duplicate: Type.Boolean() }));

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

  const problem = async (answer: CoreAnswer, signal?: AbortSignal): Promise<CoreCallError> => {
    const body = await readJson(await connection.body(answer, MAX_ANSWER_BYTES, signal)).catch(() => undefined);
    const { status } = answer;
    const retryAfterMs = parseRetryAfter(answer.headers["retry-after"], clock.wallMs(), MAX_RETRY_AFTER_MS);
    const retry = retryAfterMs === undefined ? {} : { retryAfterMs };
    if (!isProblem.Check(body)) return new CoreCallError(`${core} answered ${status}`, { status, ...retry });
    const { code, detail = code } = body;
    return new CoreCallError(`${core} answered ${status}: ${oneLine(detail)}`, { status, code, ...retry });
  };
  const json = async (answer: CoreAnswer, signal?: AbortSignal): Promise<unknown> => {
    if (answer.status !== 200) throw await problem(answer, signal);
    const bytes = await connection.body(answer, MAX_ANSWER_BYTES, signal);
    return readJson(bytes).catch(() => {
      throw new CoreCallError(`${core} answered with something that is not JSON: check what listens there`);
    });
  };

  return {
    url: connection.url,

    async lease(request, signal) {
      try {
        const recipient = createLeaseRecipient();
        const answer = await connection.send({
          method: "POST",
          path: "/core/v1/leases",
          headers: { "content-type": "application/json" },
          body: Buffer.from(
            JSON.stringify({
              tenant: request.tenant,
              service: request.service,
              ...(request.version === undefined ? {} : { version: request.version }),
              recipient: Buffer.from(recipient.publicKey).toString("base64url"),
            }),
          ),
          signal,
        });
        const body = await json(answer, signal);
        const lease = checkLeaseAnswer(body, request, core);
        return {
          tenant: lease.tenant,
          service: lease.service,
          ttlMs: lease.ttl_seconds * 1_000,
          refreshAfterMs: Math.min(lease.refresh_after_seconds, lease.ttl_seconds) * 1_000,
          log: lease.log,
          revocationSeq: lease.revocation_seq,
          versions: openVersions(lease, recipient, core),
        };
      } catch (error) {
        throw toKeySourceError(error);
      }
    },

    async keys(signal) {
      const body = await json(await connection.send({ method: "GET", path: "/core/v1/keys", signal }), signal);
      if (!isJwks.Check(body)) throw new CoreCallError(`${core} answered with something that is no JWK set`);
      return body as JSONWebKeySet;
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
        signal,
      });
      const body = await json(answer, signal);
      if (!isUsageAnswer.Check(body)) throw new CoreCallError(`${core} did not say that it took the batch`);
      return body;
    },

    async applied({ log, seq }, signal) {
      const answer = await connection.send({
        method: "POST",
        path: "/core/v1/applied",
        headers: { "content-type": "application/json" },
        body: Buffer.from(JSON.stringify({ log, seq })),
        signal,
      });
      await json(answer, signal);
    },

    async revocations(lastEventId, handlers, signal) {
      const answer = await connection.send({
        method: "GET",
        path: "/core/v1/revocations",
        headers: {
          "cache-control": "no-cache",
          ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }),
        },
        signal,
        stream: true,
      });
      if (answer.status !== 200) throw await problem(answer, signal);
      if (!/^text\/event-stream\b/.test(answer.headers["content-type"] ?? "")) {
        answer.message.destroy();
        throw new CoreCallError(`${core} answered with something that is no event stream: check what listens there`);
      }
      handlers.onOpen?.();
      await readStream(connection, answer, handlers, signal, core);
    },

    reload: (certificates) => connection.reload(certificates),
    close: () => connection.close(),
  };
}

/** Names a process of the edge among its others: nothing secret. */
export function newInstance(): string {
  return randomUUID();
}

function readStream(
  connection: CoreConnection,
  answer: CoreAnswer,
  handlers: RevocationHandlers,
  signal: AbortSignal,
  core: string,
): Promise<void> {
  const { message } = answer;
  return new Promise((resolve, reject) => {
    let pendingBytes = 0;
    let done = false;
    const finish = (act: () => void): void => {
      if (done) return;
      done = true;
      signal.removeEventListener("abort", aborted);
      release();
      act();
      message.destroy();
    };
    const fail = (reason: string, cause?: unknown): void =>
      finish(() => reject(new CoreCallError(reason, cause === undefined ? {} : { cause })));
    const aborted = (): void => fail("the stream was given up");
    const release = connection.onClose(() => fail("the connection to the Core is closed"));
    const parser = createParser({
      onEvent(event) {
        pendingBytes = 0;
        if (!done) handlers.onMessage({ id: event.id, event: event.event, data: event.data });
      },
    });
    const decoder = new TextDecoder();
    if (signal.aborted) return aborted();
    signal.addEventListener("abort", aborted, { once: true });
    message.on("data", (chunk: Buffer) => {
      if (done) return;
      pendingBytes += chunk.length;
      try {
        parser.feed(decoder.decode(chunk, { stream: true }));
      } catch (error) {
        return fail(`an event of ${core} could not be handled: ${messageOf(error)}`, error);
      }
      if (pendingBytes > MAX_MESSAGE_BYTES) fail(`${core} sent an event that is too large`);
    });
    message.on("end", () => finish(resolve));
    message.on("error", (error) => fail(`the stream of ${core} broke off`, error));
    message.on("close", () => fail(`the stream of ${core} broke off`));
  });
}

function checkLeaseAnswer(body: unknown, request: LeaseRequest, core: string): Static<typeof LeaseAnswer> {
  if (!isLeaseAnswer.Check(body)) {
    const where = isLeaseAnswer.Errors(body).First()?.path ?? "";
    throw new CoreCallError(`${core} answered with a malformed lease${where === "" ? "" : ` (at ${where})`}`);
  }
  if (body.tenant !== request.tenant || body.service !== request.service) {
    throw new CoreCallError(`${core} answered with a lease for another tenant or service than was asked for`);
  }
  const versions = new Set(body.versions.map((one) => one.version));
  const active = body.versions.filter((one) => one.state === "active").length;
  if (versions.size !== body.versions.length || active > 1) {
    throw new CoreCallError(`${core} answered with a lease whose versions contradict each other`);
  }
  if (request.version === undefined ? active !== 1 : versions.size !== 1 || !versions.has(request.version)) {
    throw new CoreCallError(`${core} answered with a lease for other versions than were asked for`);
  }
  return body;
}

function openVersions(lease: Static<typeof LeaseAnswer>, recipient: LeaseRecipient, core: string): LeasedServiceKey[] {
  const opened: LeasedServiceKey[] = [];
  try {
    for (const { version, state, enc, sealed } of lease.versions) {
      const aad = leaseAad(lease.tenant, lease.service, version);
      const key = recipient.open(Buffer.from(enc, "base64url"), Buffer.from(sealed, "base64url"), aad);
      opened.push({ version, state, key });
      if (key.length !== SERVICE_KEY_BYTES) throw new RangeError("a service key has 32 bytes");
    }
  } catch (error) {
    for (const { key } of opened) wipe(key);
    throw new CoreCallError(`a key that ${core} leased does not open: it was sealed for another edge or name`, {
      cause: error,
    });
  }
  return opened;
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

async function readJson(bytes: Buffer): Promise<unknown> {
  return JSON.parse(bytes.toString("utf8"));
}
