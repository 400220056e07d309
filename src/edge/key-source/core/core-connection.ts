/**
 * HTTPS to the Core with this edge's certificate: TLS 1.3, the Core's certificate and host name always verified,
 * connections kept alive, every wait bounded. By `node:https`, which does all this alike on Bun, Deno and Node.
 */
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import type { Clock } from "../../../base/time/clock.ts";
import { Deadline } from "../../../base/time/deadline.ts";
import { VERSION } from "../../../base/version.ts";
import { type CoreCertificates, checkCoreCertificates } from "./core-certificates.ts";
import { explainFault } from "./core-fault.ts";

/** Why a call got no usable answer. The message is for a person. */
export class CoreCallError extends Error {
  override readonly name = "CoreCallError";
  /** The HTTP status, where there was an answer. */
  readonly status: number | undefined;
  /** The problem document's `code`, where the answer was one. */
  readonly code: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(
    message: string,
    options: { status?: number; code?: string; retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.status = options.status;
    this.code = options.code;
    this.retryAfterMs = options.retryAfterMs;
  }

  /** Whether the same call may succeed later: no answer, 408, 429 or 5xx. */
  get retryable(): boolean {
    return this.status === undefined || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

export interface CoreConnectionOptions {
  /** `https://host:port` */
  readonly url: string;
  readonly certificates: CoreCertificates;
  /** The name that the Core's certificate must carry, where it is not the URL's host. */
  readonly serverName?: string | undefined;
  readonly clock: Clock;
  /** From a call's beginning to the head of its answer, TLS handshake included; and again to the body's end. */
  readonly timeoutMs: number;
  /** Connections for calls; streams have their own. */
  readonly maxConnections: number;
  /** Which process of the edge calls. */
  readonly instance?: string;
}

export interface CoreCall {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly signal?: AbortSignal | undefined;
  /** A stream has its own connection, which ends with it. */
  readonly stream?: boolean;
}

export interface CoreAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly message: IncomingMessage;
}

/** Tells the Core which version calls. */
const USER_AGENT = `crypto-edge/${VERSION}`;

export class CoreConnection {
  readonly url: URL;
  readonly #options: CoreConnectionOptions;
  #certificates: CoreCertificates;
  #agent: Agent;
  readonly #inFlight = new Set<() => void>();
  #closed = false;

  /** @throws Error for a URL or certificates that can never work. */
  constructor(options: CoreConnectionOptions) {
    this.url = parseUrl(options.url);
    this.#options = options;
    checkCoreCertificates(options.certificates);
    this.#certificates = options.certificates;
    this.#agent = this.#makeAgent();
  }

  /** New connections use these; calls and streams in flight go on. @throws Error, changing nothing, where they are bad. */
  reload(certificates: CoreCertificates): void {
    checkCoreCertificates(certificates);
    this.#certificates = certificates;
    const old = this.#agent;
    this.#agent = this.#makeAgent();
    retire(old);
  }

  /** The head of an answer, whatever its status. @throws CoreCallError */
  async send(call: CoreCall): Promise<CoreAnswer> {
    try {
      return await this.#attempt(call);
    } catch (error) {
      // A kept-alive connection that the Core had closed meanwhile: not this call's fault, so once more, on a new one.
      if (!(error instanceof StaleConnection)) throw error;
      return await this.#attempt(call).catch((again: unknown) => {
        throw again instanceof StaleConnection ? this.#fault(again.error) : again;
      });
    }
  }

  /** A whole body of at most `maxBytes`. @throws CoreCallError */
  body(answer: CoreAnswer, maxBytes: number, signal?: AbortSignal): Promise<Buffer> {
    const { message } = answer;
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let length = 0;
      const give = (reason: string, cause?: unknown): void => {
        message.destroy();
        reject(new CoreCallError(reason, cause === undefined ? {} : { cause }));
      };
      const wait = this.#wait(signal, `the Core at ${this.url.origin} was too slow to finish its answer`, give);
      const fail = (reason: string, cause?: unknown): void => {
        if (wait.settle()) give(reason, cause);
      };
      message.on("data", (chunk: Buffer) => {
        length += chunk.length;
        if (length > maxBytes) fail(`the answer of the Core at ${this.url.origin} is too large`);
        else chunks.push(chunk);
      });
      message.on("end", () => wait.settle() && resolve(Buffer.concat(chunks, length)));
      message.on("error", (error) => fail(`the Core at ${this.url.origin} broke off its answer`, error));
      message.on("close", () => fail(`the Core at ${this.url.origin} broke off its answer`));
    });
  }

  /** Calls `end` once, when the connection is closed, unless the returned function has been called before. */
  onClose(end: () => void): () => void {
    this.#inFlight.add(end);
    return () => this.#inFlight.delete(end);
  }

  close(): void {
    this.#closed = true;
    for (const end of [...this.#inFlight]) end();
    this.#agent.destroy();
  }

  #attempt(call: CoreCall): Promise<CoreAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(new CoreCallError(CLOSED));
      if (call.signal?.aborted) return reject(new CoreCallError(GIVEN_UP));
      const request = httpsRequest({
        agent: call.stream === true ? this.#makeAgent(false) : this.#agent,
        host: this.url.hostname.replace(/^\[|\]$/g, ""),
        port: this.url.port === "" ? 443 : Number(this.url.port),
        method: call.method,
        path: call.path,
        headers: {
          host: this.url.host,
          "user-agent": USER_AGENT,
          ...(this.#options.instance === undefined ? {} : { "crypto-edge-instance": this.#options.instance }),
          accept: call.stream === true ? "text/event-stream" : "application/json",
          ...(call.body === undefined ? {} : { "content-length": String(call.body.length) }),
          ...call.headers,
        },
      });
      const late = `the Core at ${this.url.origin} did not answer within ${this.#options.timeoutMs} ms`;
      const wait = this.#wait(call.signal, late, (reason) => {
        reject(new CoreCallError(reason));
        request.destroy();
      });
      request.on("response", (message: IncomingMessage) => {
        if (wait.settle()) resolve({ status: message.statusCode ?? 0, headers: message.headers, message });
      });
      request.on("error", (error: NodeJS.ErrnoException) => {
        if (!wait.settle()) return;
        const stale = request.reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE");
        reject(stale ? new StaleConnection(error) : this.#fault(error));
      });
      request.end(call.body);
    });
  }

  /** Waits for so long, unless the caller gives up or the connection is closed; then `give` is told why. */
  #wait(signal: AbortSignal | undefined, late: string, give: (reason: string) => void): { settle(): boolean } {
    const closed = (): void => {
      if (deadline.settle()) give(CLOSED);
    };
    this.#inFlight.add(closed);
    const { clock, timeoutMs } = this.#options;
    const deadline = new Deadline({
      clock,
      timeoutMs,
      signal,
      onOver: (cause) => {
        this.#inFlight.delete(closed);
        give(cause === "aborted" ? GIVEN_UP : late);
      },
    });
    return {
      settle: () => {
        this.#inFlight.delete(closed);
        return deadline.settle();
      },
    };
  }

  #fault(error: NodeJS.ErrnoException): CoreCallError {
    const certificates = this.#certificates;
    const message = explainFault({
      error,
      url: this.url,
      name: this.#options.serverName ?? this.url.hostname,
      certificates,
      nowMs: this.#options.clock.wallMs(),
    });
    return new CoreCallError(message, { cause: error });
  }

  #makeAgent(keepAlive = true): Agent {
    return new CoreAgent({
      keepAlive,
      maxSockets: this.#options.maxConnections,
      maxFreeSockets: this.#options.maxConnections,
      ca: this.#certificates.ca,
      cert: this.#certificates.cert,
      key: this.#certificates.key,
      minVersion: "TLSv1.3",
      rejectUnauthorized: true,
      ...(this.#options.serverName === undefined ? {} : { servername: this.#options.serverName }),
    });
  }
}

const CLOSED = "the connection to the Core is closed";
const GIVEN_UP = "the call to the Core was given up";

class StaleConnection extends Error {
  readonly error: NodeJS.ErrnoException;

  constructor(error: NodeJS.ErrnoException) {
    super("a kept-alive connection had been closed");
    this.error = error;
  }
}

/** Its connections go to one Core by one set of certificates. The name by which an agent finds one would hold those in whole, made anew for each call. */
class CoreAgent extends Agent {
  override getName(): string {
    return "core";
  }
}

/** Idle connections go at once, busy ones once they are idle. */
function retire(agent: Agent): void {
  (agent as Agent & { keepAlive: boolean }).keepAlive = false;
  for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
}

function parseUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new Error(`"${text}" is no URL of a Core: write it like https://core.example:8443`);
  }
  if (url.protocol !== "https:") throw new Error(`the Core's URL must begin with https://, not ${url.protocol}//`);
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "" || url.pathname !== "/") {
    throw new Error("the Core's URL is a host and a port alone, like https://core.example:8443");
  }
  return url;
}
