/**
 * OTLP/HTTP with JSON (https://opentelemetry.io/docs/specs/otlp/, "OTLP/HTTP"): one request for each batch, over `node:http` and
 * `node:https`, which ask no proxy of the environment. Every wait and every answer is bounded.
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { CodedError, messageOf } from "../../../base/errors.ts";
import { parseRetryAfter } from "../../../base/network/retry-after.ts";
import type { Clock } from "../../../base/time/clock.ts";
import { Deadline } from "../../../base/time/deadline.ts";
import { VERSION } from "../../../base/version.ts";

/** `unavailable`: the same batch may be taken later. `refused`: it never will be. */
export class OtlpError extends CodedError<"unavailable" | "refused"> {
  override readonly name = "OtlpError";
}

export interface OtlpClientOptions {
  /** Without `/v1/traces`. */
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** PEM texts. */
  readonly tls: {
    readonly ca?: string | undefined;
    readonly cert?: string | undefined;
    readonly key?: string | undefined;
  };
  readonly clock: Clock;
  /** From a request's beginning to the end of its answer. Asked at each request, since less is left once the edge stops. */
  readonly timeoutMs: () => number;
}

/** One signal has one batch under way at a time. */
const CONNECTIONS_MAX = 2;
const ANSWER_BYTES_MAX = 64 * 1024;
const RETRY_AFTER_MAX_MS = 300_000;
/** The specification's list, and what an operator can mend while the batch waits: credentials, a path that is not there yet. */
const RETRYABLE: ReadonlySet<number> = new Set([401, 403, 404, 408, 429, 500, 502, 503, 504]);

function agentOf({ url, tls }: Pick<OtlpClientOptions, "url" | "tls">): HttpAgent | HttpsAgent {
  const kept = { keepAlive: true, maxSockets: CONNECTIONS_MAX, maxFreeSockets: CONNECTIONS_MAX };
  if (url.protocol !== "https:") return new HttpAgent(kept);
  return new HttpsAgent({ ...kept, ...defined(tls), minVersion: "TLSv1.2", rejectUnauthorized: true });
}

export class OtlpClient {
  readonly #options: OtlpClientOptions;
  #agent: HttpAgent | HttpsAgent;

  constructor(options: OtlpClientOptions) {
    this.#options = options;
    this.#agent = agentOf(options);
  }

  /** From the next connection on. */
  useCredentials(tls: OtlpClientOptions["tls"]): void {
    const former = this.#agent;
    this.#agent = agentOf({ url: this.#options.url, tls });
    // What is under way goes on; what is kept for later is not.
    for (const sockets of Object.values(former.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
  }

  /**
   * Sends one batch. Resolves with how many of its items the receiver says that it has thrown away.
   *
   * @throws {OtlpError} or rejects with it
   */
  async post(path: "/v1/traces" | "/v1/logs", message: object, signal: AbortSignal): Promise<number> {
    const { url, clock } = this.#options;
    const { status, retryAfter, body } = await this.#send(path, Buffer.from(JSON.stringify(message)), signal);
    if (status >= 200 && status < 300) return rejectedBy(body);
    const sentence = `${url.origin} answered ${status}`;
    if (!RETRYABLE.has(status)) throw new OtlpError("refused", sentence);
    const retryAfterMs = parseRetryAfter(retryAfter, clock.wallMs(), RETRY_AFTER_MAX_MS);
    throw new OtlpError("unavailable", sentence, retryAfterMs === undefined ? {} : { retryAfterMs });
  }

  close(): void {
    this.#agent.destroy();
  }

  #send(path: string, body: Buffer, signal: AbortSignal): Promise<Answer> {
    const { url, headers, clock, timeoutMs } = this.#options;
    return new Promise((resolve, reject) => {
      const send = url.protocol === "https:" ? httpsRequest : httpRequest;
      const request = send({
        agent: this.#agent,
        host: url.hostname.replace(/^\[|\]$/g, ""),
        port: url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port),
        method: "POST",
        path: `${url.pathname.replace(/\/$/, "")}${path}`,
        headers: {
          ...headers,
          host: url.host,
          "user-agent": `crypto-edge/${VERSION}`,
          "content-type": "application/json",
          "content-length": String(body.length),
        },
      });
      const give = (reason: string): void => {
        request.destroy();
        reject(new OtlpError("unavailable", reason));
      };
      request.on("error", (error) => deadline.settle() && give(`${url.origin}: ${messageOf(error)}`));
      const deadline = new Deadline({
        clock,
        timeoutMs: timeoutMs(),
        signal,
        onOver: (cause) => give(cause === "aborted" ? "given up" : `${url.origin} gave no answer in time`),
      });
      if (deadline.settled) return;
      request.on("response", (message: IncomingMessage) => {
        const chunks: Buffer[] = [];
        let length = 0;
        message.on("data", (chunk: Buffer) => {
          length += chunk.length;
          if (length <= ANSWER_BYTES_MAX) chunks.push(chunk);
          else if (deadline.settle()) give(`the answer of ${url.origin} is too large`);
        });
        message.on("end", () => {
          if (!deadline.settle()) return;
          const { statusCode: status = 0, headers: answered } = message;
          resolve({ status, retryAfter: answered["retry-after"], body: Buffer.concat(chunks, length) });
        });
        message.on("close", () => deadline.settle() && give(`${url.origin} broke off its answer`));
        message.on("error", (error) => deadline.settle() && give(`${url.origin}: ${messageOf(error)}`));
      });
      request.end(body);
    });
  }
}

interface Answer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly body: Buffer;
}

/** Of a success that is partial: `{"partialSuccess": {"rejectedSpans": "3"}}`. */
function rejectedBy(body: Buffer): number {
  try {
    const { partialSuccess } = JSON.parse(body.toString()) as { partialSuccess?: Record<string, unknown> };
    const count = Number(partialSuccess?.rejectedSpans ?? partialSuccess?.rejectedLogRecords ?? 0);
    return Number.isSafeInteger(count) && count > 0 ? count : 0;
  } catch {
    return 0;
  }
}

function defined(values: object): object {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
