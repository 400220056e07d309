/**
 * HTTPS to the Core with this edge's certificate: TLS 1.3, the Core's certificate and host name always verified,
 * connections kept alive, every wait bounded. By `node:tls`, which does all this alike on Bun, Deno and Node: by `node:https` a call takes
 * twice the processor time, and leaves three times as much to the collector.
 */
import type { Clock } from "../../../base/time/clock.ts";
import { VERSION } from "../../../base/version.ts";
import { CLOSED, type CoreAnswer, CoreCall, type CoreCaller, type CoreRequest, GIVEN_UP } from "./core-call.ts";
import { CoreCallError } from "./core-call-error.ts";
import { type CoreCertificates, checkCoreCertificates } from "./core-certificates.ts";
import { explainFault } from "./core-fault.ts";
import { type CoreAddress, CoreSocket, type SocketOwner } from "./core-socket.ts";
import { CoreSockets } from "./core-sockets.ts";

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

/** The beginning of a head as it is sent, and of which requests. */
interface HeadStart {
  readonly method: string;
  readonly path: string;
  readonly headers: CoreRequest["headers"] | undefined;
  readonly stream: boolean | undefined;
  readonly text: string;
}

/** Tells the Core which version calls. */
const USER_AGENT = `crypto-edge/${VERSION}`;
/** Nothing else is sent: neither what would end a header nor what two readers could read in two ways. */
const NO_VALUE = /[^\x20-\x7e]/;
/** Whose connection a stream has: it takes one call. */
const ALONE: SocketOwner = {
  onFree: (socket) => socket.destroy(),
  onGone() {},
};

export class CoreConnection {
  readonly url: URL;
  readonly #options: CoreConnectionOptions;
  readonly #caller: CoreCaller;
  /** What the heads of all calls have in common. */
  readonly #headers: string;
  #certificates: CoreCertificates;
  #sockets: CoreSockets;
  readonly #inFlight = new Set<{ close(): void }>();
  #closed = false;
  /** Of the last call: the next one mostly repeats it. */
  #headStart: HeadStart | undefined;

  /** @throws Error for a URL or certificates that can never work. */
  constructor(options: CoreConnectionOptions) {
    this.url = parseUrl(options.url);
    this.#options = options;
    this.#caller = {
      core: `the Core at ${this.url.origin}`,
      clock: options.clock,
      timeoutMs: options.timeoutMs,
      explain: this.#explain,
      onStale: (call) => this.#sockets.begin(call, true),
      onOver: (call) => void this.#inFlight.delete(call),
    };
    this.#headers = headersOf({
      host: this.url.host,
      "user-agent": USER_AGENT,
      ...(options.instance === undefined ? {} : { "crypto-edge-instance": options.instance }),
    });
    checkCoreCertificates(options.certificates);
    this.#certificates = options.certificates;
    this.#sockets = this.#makeSockets();
  }

  /** New connections use these; calls and streams in flight go on. @throws Error, changing nothing, where they are bad. */
  reload(certificates: CoreCertificates): void {
    checkCoreCertificates(certificates);
    this.#certificates = certificates;
    const old = this.#sockets;
    this.#sockets = this.#makeSockets();
    old.retire();
  }

  /** An answer, whatever its status. @throws CoreCallError where no head of one came */
  send(request: CoreRequest): Promise<CoreAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(new CoreCallError(CLOSED));
      if (request.signal?.aborted) return reject(new CoreCallError(GIVEN_UP));
      const call = new CoreCall(this.#caller, { request, head: this.#headOf(request), resolve, reject });
      this.#inFlight.add(call);
      if (request.stream === true) new CoreSocket(this.#address(), ALONE).begin(call);
      else this.#sockets.begin(call);
    });
  }

  /** Calls `end` once, when the connection is closed, unless the returned function has been called before. */
  onClose(end: () => void): () => void {
    const ending = { close: end };
    this.#inFlight.add(ending);
    return () => this.#inFlight.delete(ending);
  }

  close(): void {
    this.#closed = true;
    // First, so that no call of those in line is begun where another's connection ends.
    this.#sockets.close();
    for (const ending of [...this.#inFlight]) ending.close();
  }

  #headOf(request: CoreRequest): string {
    const last = this.#headStart;
    const isRepeated =
      request.path === last?.path &&
      request.method === last.method &&
      request.headers === last.headers &&
      request.stream === last.stream;
    const start = isRepeated ? last : this.#beginHead(request);
    const { body } = request;
    return body === undefined ? `${start.text}\r\n` : `${start.text}content-length: ${Buffer.byteLength(body)}\r\n\r\n`;
  }

  #beginHead({ method, path, headers, stream }: CoreRequest): HeadStart {
    const accept = stream === true ? "text/event-stream" : "application/json";
    const own = headers === undefined ? "" : headersOf(headers);
    const text = `${method} ${path} HTTP/1.1\r\n${this.#headers}accept: ${accept}\r\n${own}`;
    const start: HeadStart = { method, path, headers, stream, text };
    this.#headStart = start;
    return start;
  }

  readonly #explain = (error: NodeJS.ErrnoException): CoreCallError => {
    const message = explainFault({
      error,
      url: this.url,
      name: this.#options.serverName ?? this.url.hostname,
      certificates: this.#certificates,
      nowMs: this.#options.clock.wallMs(),
    });
    return new CoreCallError(message, { cause: error });
  };

  #makeSockets(): CoreSockets {
    return new CoreSockets(this.#address(), this.#options.maxConnections);
  }

  #address(): CoreAddress {
    return {
      host: this.url.hostname.replace(/^\[|\]$/g, ""),
      port: this.url.port === "" ? 443 : Number(this.url.port),
      serverName: this.#options.serverName,
      certificates: this.#certificates,
    };
  }
}

/** As they are sent. @throws Error for a value that can't be */
function headersOf(headers: Readonly<Record<string, string>>): string {
  let text = "";
  for (const name in headers) {
    const value = headers[name]!;
    if (NO_VALUE.test(value)) throw new Error(`the header ${name} would hold what no header may`);
    text += `${name}: ${value}\r\n`;
  }
  return text;
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
