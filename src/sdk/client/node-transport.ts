/**
 * HTTP by `node:http` and `node:https`, on Node, Bun and Deno alike: Unix sockets and client certificates work on all three, connections
 * are kept, and no proxy of the environment is used (`fetch` would send even loopback requests to one).
 */
import type { Agent, ClientRequest, IncomingMessage, RequestOptions } from "node:http";
import type { AgentOptions } from "node:https";
import {
  basePath,
  type ClientTls,
  type EdgeAddress,
  type Transport,
  type TransportAnswer,
  type TransportRequest,
  type TransportStream,
} from "./transport.ts";

/** No answer of an edge is longer: 10,000 keys of the longest blobs in JSON. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
/** How long certificates from a function are used before it is asked again. */
const TLS_AGE_MS = 60_000;

export interface NodeTransportOptions {
  readonly address: EdgeAddress;
  readonly tls?: ClientTls | (() => ClientTls) | undefined;
  /** At most so many connections at once, each kept for the next request. */
  readonly connections: number;
}

type GetBuiltin = <Name extends "node:http" | "node:https">(
  name: Name,
) => Name extends "node:http" ? typeof import("node:http") : typeof import("node:https");

/** The runtime's own modules without an import, so that bundles for other runtimes have nothing to look for. */
const getBuiltin = (globalThis as { process?: { getBuiltinModule?: GetBuiltin } }).process?.getBuiltinModule;

/** Whether the runtime has `node:http`. */
export function hasNodeHttp(): boolean {
  return getBuiltin?.("node:http")?.request !== undefined;
}

export class NodeTransport implements Transport {
  readonly #address: EdgeAddress;
  readonly #base: string;
  readonly #connections: number;
  readonly #http: typeof import("node:http");
  readonly #https: typeof import("node:https");
  readonly #tls: NodeTransportOptions["tls"];
  #agent: Agent | undefined;
  #tlsInUse: ClientTls | undefined;
  #tlsReadAtMs = Number.NEGATIVE_INFINITY;

  constructor({ address, tls, connections }: NodeTransportOptions) {
    this.#address = address;
    this.#base = basePath(address);
    this.#connections = connections;
    this.#tls = tls;
    this.#http = getBuiltin!("node:http");
    this.#https = getBuiltin!("node:https");
  }

  async send(request: TransportRequest): Promise<TransportAnswer> {
    const message = await this.#request(request, this.#currentAgent(), false);
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of message as AsyncIterable<Uint8Array>) {
      length += chunk.length;
      if (length > ANSWER_BYTES_MAX) {
        message.destroy();
        throw new Error("the answer is longer than any of an edge");
      }
      chunks.push(chunk);
    }
    // A connection that breaks within an answer ends it early, without an error, on some runtimes.
    const announced = message.headers["content-length"];
    if (!message.complete || (announced !== undefined && Number(announced) !== length))
      throw new Error("the answer was cut off");
    return { ...headOf(message), body: chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks) };
  }

  async stream(request: Omit<TransportRequest, "body">): Promise<TransportStream> {
    const message = await this.#request(request, this.#newAgent(false), true);
    return { ...headOf(message), chunks: message as AsyncIterable<Uint8Array> };
  }

  close(): void {
    this.#agent?.destroy();
    this.#agent = undefined;
  }

  #request(request: TransportRequest, agent: Agent, background: boolean): Promise<IncomingMessage> {
    const address = this.#address;
    const secure = address.kind === "https";
    const options: RequestOptions = {
      method: request.method,
      path: this.#base + request.path,
      headers: {
        ...request.headers,
        ...(request.body === undefined ? {} : { "content-length": Buffer.byteLength(request.body) }),
        ...(address.kind === "unix" ? { host: "localhost" } : {}),
      },
      agent,
      ...(address.kind === "unix"
        ? { socketPath: address.path }
        : { hostname: address.url.hostname.replace(/^\[|\]$/g, ""), port: address.url.port || (secure ? 443 : 80) }),
    };
    return new Promise((resolve, reject) => {
      const { signal } = request;
      if (signal.aborted) return reject(signal.reason);
      const outgoing: ClientRequest = (secure ? this.#https : this.#http).request(options);
      const onAbort = (): void => void outgoing.destroy(asError(signal.reason));
      signal.addEventListener("abort", onAbort, { once: true });
      outgoing.on("close", () => signal.removeEventListener("abort", onAbort));
      outgoing.on("error", (error) => {
        // Another connection may serve: the edge closed this one while it was idle.
        if (outgoing.reusedSocket && !signal.aborted) Object.assign(error, { reusedConnection: true });
        reject(error);
      });
      outgoing.on("response", resolve);
      if (background) outgoing.on("socket", (socket) => socket.unref?.());
      outgoing.end(request.body);
    });
  }

  #currentAgent(): Agent {
    if (typeof this.#tls === "function" && performance.now() - this.#tlsReadAtMs > TLS_AGE_MS) {
      this.#tlsReadAtMs = performance.now();
      const now = this.#tls();
      const before = this.#tlsInUse;
      if (before !== undefined && (before.cert !== now.cert || before.key !== now.key || before.ca !== now.ca)) {
        // Requests in flight end on their own connections.
        this.#agent = undefined;
      }
      this.#tlsInUse = now;
    }
    this.#agent ??= this.#newAgent(true);
    return this.#agent;
  }

  #newAgent(keepAlive: boolean): Agent {
    const common = {
      keepAlive,
      maxSockets: keepAlive ? this.#connections : 1,
      scheduling: "lifo",
      // Node 24 and Deno: no proxy, whatever the environment says.
      proxyEnv: {},
    } as AgentOptions;
    if (this.#address.kind !== "https") return new this.#http.Agent(common);
    const tls = this.#tlsInUse ?? (typeof this.#tls === "function" ? this.#tls() : this.#tls);
    return new this.#https.Agent({
      ...common,
      minVersion: "TLSv1.2",
      rejectUnauthorized: true,
      ...given("ca", pem(tls?.ca)),
      ...given("cert", pem(tls?.cert)),
      ...given("key", pem(tls?.key)),
      ...given("passphrase", tls?.passphrase),
      ...given("servername", tls?.serverName),
    });
  }
}

function headOf(message: IncomingMessage): Pick<TransportAnswer, "status" | "header"> {
  return {
    status: message.statusCode ?? 0,
    header: (name) => {
      const value = message.headers[name];
      return Array.isArray(value) ? value[0] : value;
    },
  };
}

function given<Name extends string, Value>(name: Name, value: Value | undefined): { [key in Name]?: Value } {
  return value === undefined ? {} : ({ [name]: value } as { [key in Name]: Value });
}

function pem(bytes: string | Uint8Array | undefined): string | Buffer | undefined {
  return bytes instanceof Uint8Array ? Buffer.from(bytes) : bytes;
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
