/** One call: its time limit, its retries, its errors, its figure. */
import { messageOf } from "../../base/errors.ts";
import { OCTET_STREAM } from "./batch-bytes.ts";
import { CryptoEdgeError, errorFromAnswer } from "./edge-error.ts";
import { type RetryOptions, withRetries } from "./retry.ts";
import type { Transport, TransportAnswer } from "./transport.ts";

/** For one call. */
export interface CallOptions {
  /** Ends the call; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Instead of the client's. */
  readonly timeoutMs?: number;
  /** What the edge's log and audit shall name the request by: up to 64 letters, digits and `. _ : -`. */
  readonly requestId?: string;
}

/** A port that the histograms of `prom-client` fit. `code` is `ok`, an error's code, or `aborted`. */
export interface CallHistogram {
  observe(labels: { operation: string; code: string }, seconds: number): void;
}

export interface CallerOptions {
  readonly url: string;
  readonly timeoutMs?: number;
  readonly token?: string | (() => string | Promise<string>);
  readonly retry?: RetryOptions;
  readonly histogram?: CallHistogram;
}

const TIMEOUT_MS = 10_000;
const decoder = new TextDecoder();

interface Request {
  readonly path: string;
  readonly contentType: string;
  readonly body: Uint8Array | string;
}

export class Caller {
  readonly #transport: Transport;
  readonly #options: CallerOptions;

  constructor(transport: Transport, options: CallerOptions) {
    this.#transport = transport;
    this.#options = options;
  }

  /** A call in JSON. `read` may throw anything for an answer that no edge gives. */
  json<Answer, Result>(
    operation: string,
    path: string,
    body: object,
    read: (answer: Answer) => Result,
    options: CallOptions = {},
  ): Promise<Result> {
    const request = { path, contentType: "application/json", body: JSON.stringify(body) };
    return this.#call(operation, request, options, ({ body }) => read(JSON.parse(decoder.decode(body)) as Answer));
  }

  /** A call in bytes; `read` also gets how long the answer's keys may be kept. */
  bytes<Result>(
    operation: string,
    path: string,
    body: Uint8Array,
    read: (answer: Uint8Array, cacheSeconds: number | undefined) => Result,
    options: CallOptions = {},
  ): Promise<Result> {
    const request = { path, contentType: OCTET_STREAM, body };
    return this.#call(operation, request, options, (answer) => read(answer.body, cacheSecondsOf(answer)));
  }

  async authorization(): Promise<Record<string, string>> {
    const { token } = this.#options;
    if (token === undefined) return {};
    return { authorization: `Bearer ${typeof token === "string" ? token : await token()}` };
  }

  async #call<Result>(
    operation: string,
    request: Request,
    options: CallOptions,
    read: (answer: TransportAnswer) => Result,
  ): Promise<Result> {
    const startedMs = performance.now();
    const limitMs = options.timeoutMs ?? this.#options.timeoutMs ?? TIMEOUT_MS;
    const limit = new CallLimit(limitMs, options.signal);
    let code = "ok";
    try {
      options.signal?.throwIfAborted();
      return await withRetries(
        () => this.#attempt(request, options, limit, read),
        this.#options.retry ?? {},
        () => startedMs + limitMs - performance.now(),
        limit.signal,
      );
    } catch (error) {
      code = error instanceof CryptoEdgeError ? error.code : "aborted";
      throw error;
    } finally {
      limit.end();
      this.#options.histogram?.observe({ operation, code }, (performance.now() - startedMs) / 1000);
    }
  }

  async #attempt<Result>(
    { path, contentType, body }: Request,
    options: CallOptions,
    limit: CallLimit,
    read: (answer: TransportAnswer) => Result,
  ): Promise<Result> {
    const headers: Record<string, string> = { "content-type": contentType, ...(await this.authorization()) };
    if (options.requestId !== undefined) headers["x-request-id"] = options.requestId;
    const answer = await this.#send({ method: "POST", path, headers, body, signal: limit.signal }, options, limit);
    if (answer.status < 200 || answer.status > 299) {
      throw errorFromAnswer(parseJson(answer.body), {
        status: answer.status,
        retryAfter: answer.header("retry-after"),
        requestId: answer.header("x-request-id"),
      });
    }
    try {
      return read(answer);
    } catch (cause) {
      const { url } = this.#options;
      throw new CryptoEdgeError("unexpected_answer", `What answers at ${url} is no edge. Check the address.`, {
        status: answer.status,
        cause,
      });
    }
  }

  async #send(
    request: Parameters<Transport["send"]>[0],
    options: CallOptions,
    limit: CallLimit,
  ): Promise<TransportAnswer> {
    for (let stale = 0; ; stale++) {
      try {
        return await this.#transport.send(request);
      } catch (cause) {
        options.signal?.throwIfAborted();
        // The edge had closed kept connections meanwhile: a new one serves at once.
        if (stale < 3 && (cause as { reusedConnection?: unknown } | undefined)?.reusedConnection === true) continue;
        const { url } = this.#options;
        const reason = limit.signal.aborted
          ? "no answer in time"
          : messageOf(cause) || String((cause as { code?: unknown }).code);
        throw new CryptoEdgeError(
          "lease_unavailable",
          `No edge answers at ${url}: ${reason}. Start one, or give its address.`,
          { cause },
        );
      }
    }
  }
}

/** Aborts at the time limit or with the caller's signal, whichever comes first; leaves nothing behind. */
class CallLimit {
  readonly #controller = new AbortController();
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #outer: AbortSignal | undefined;
  readonly #onAbort = (): void => this.#controller.abort(this.#outer?.reason);

  constructor(limitMs: number, outer: AbortSignal | undefined) {
    this.#outer = outer;
    this.#timer = setTimeout(() => this.#controller.abort(new Error(`no answer within ${limitMs} ms`)), limitMs);
    outer?.addEventListener("abort", this.#onAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#outer?.removeEventListener("abort", this.#onAbort);
  }
}

function cacheSecondsOf(answer: TransportAnswer): number | undefined {
  const header = answer.header("cache-seconds");
  return header !== undefined && /^\d{1,9}$/.test(header) ? Number(header) : undefined;
}

/** A server refuses some requests before the edge sees them, and then explains nothing: undefined. */
function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(bytes));
  } catch {
    return undefined;
  }
}
