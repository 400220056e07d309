/** Plain HTTP by the runtime's own server: `Bun.serve`, or `Deno.serve` behind the part of its interface that is used here. */
import { answerRefusal, TOO_LARGE } from "./request-gate.ts";

export interface HttpServer {
  /** Undefined on a Unix socket. */
  readonly port: number | undefined;
  readonly pendingRequests: number;
  /** Stops accepting; resolves when nothing is in flight. With `cut`, ends what is in flight too. */
  stop(cut: boolean): Promise<void>;
}

export interface HttpServerOptions {
  readonly fetch: (request: Request, server: HttpServer) => Response | Promise<Response>;
  readonly error: (error: unknown) => Response;
  readonly maxRequestBodySize: number;
  readonly hostname?: string;
  readonly port?: number;
  /** Whether other processes of this edge listen on the same port (`SO_REUSEPORT`). */
  readonly reusePort?: boolean;
  readonly unix?: string;
  /** Seconds. */
  readonly idleTimeout?: number;
}

/** @throws an error with `code: "EADDRINUSE"` for an address in use */
export function serveHttp(options: HttpServerOptions): HttpServer {
  if (typeof Bun === "undefined") return serveWithDeno(options);
  // Without `reusePort: false`, `development: false` lets two processes listen on one port (Bun 1.4.5).
  const port = options.unix === undefined ? { reusePort: options.reusePort ?? false } : {};
  const all = { development: false, ...port, ...options } as unknown as Parameters<typeof Bun.serve>[0];
  return Bun.serve(all) as HttpServer;
}

/** The part of Deno that is used here. */
interface DenoServing {
  serve(options: object, handler: (request: Request) => Promise<Response>): DenoServer;
}

interface DenoServer {
  readonly addr: { readonly port?: number };
  readonly finished: Promise<void>;
  shutdown(): Promise<void>;
}

function serveWithDeno(options: HttpServerOptions): HttpServer {
  const { hostname, port, reusePort = false, unix, maxRequestBodySize } = options;
  const { Deno } = globalThis as unknown as { Deno: DenoServing };
  const cutting = new AbortController();
  let pendingRequests = 0;

  const handle = async (request: Request): Promise<Response> => {
    pendingRequests++;
    try {
      const bounded = await boundBody(request, maxRequestBodySize);
      return bounded === undefined ? answerRefusal(TOO_LARGE) : await options.fetch(bounded, server);
    } catch (error) {
      return options.error(error);
    } finally {
      pendingRequests--;
    }
  };
  let deno: DenoServer;
  try {
    const address = unix === undefined ? { hostname, port, reusePort } : { path: unix };
    deno = Deno.serve({ ...address, signal: cutting.signal, onListen() {} }, handle);
  } catch (error) {
    if (error instanceof Error && error.name === "AddrInUse") Object.assign(error, { code: "EADDRINUSE" });
    throw error;
  }
  const server: HttpServer = {
    port: deno.addr.port,
    get pendingRequests() {
      return pendingRequests;
    },
    async stop(cut) {
      if (cut) cutting.abort();
      else void deno.shutdown();
      await deno.finished;
    },
  };
  return server;
}

/** The request, its body read if its length is not told; undefined when it is longer than allowed. */
async function boundBody(request: Request, maxBytes: number): Promise<Request | undefined> {
  if (request.body === null) return request;
  const length = request.headers.get("content-length");
  if (length !== null) return Number(length) <= maxBytes ? request : undefined;
  const chunks: Uint8Array[] = [];
  let total = 0;
  for await (const chunk of request.body as unknown as AsyncIterable<Uint8Array>) {
    total += chunk.length;
    if (total > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return new Request(request.url, { method: request.method, headers: request.headers, body: Buffer.concat(chunks) });
}
