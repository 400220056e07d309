/** Plain HTTP on a loopback port or a Unix socket. */
import { chmodSync, chownSync, lstatSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { messageOf } from "../../errors.ts";
import { problemResponse } from "../problem.ts";
import { type Handler, type Listener, ListenerError, type ListenerLimits } from "./listener.ts";
import { checkTarget, createHostCheck, isLoopback } from "./loopback-host.ts";
import { answerRefusal, overloaded, RequestGate, SMALL_BODY_BYTES } from "./request-gate.ts";
import { type HttpServer, serveHttp } from "./serve-http.ts";

/** @throws {ListenerError} for a port in use or an address that is not this machine's. */
export function listenOnPort(host: string, port: number, handler: Handler, limits: ListenerLimits): Listener {
  let server: HttpServer;
  const idleTimeout = Math.min(255, Math.ceil(limits.idleTimeoutMs / 1000));
  try {
    const checkUrl = isLoopback(host) ? createHostCheck() : checkTarget;
    const shared = { reusePort: limits.sharesPort ?? false };
    server = serveHttp({ ...common(handler, limits, checkUrl), ...shared, hostname: host, port, idleTimeout });
  } catch (error) {
    throw (error as { code?: string }).code === "EADDRINUSE"
      ? new ListenerError(`Port ${port} on ${host} is in use. Stop what listens there, or choose another port.`)
      : new ListenerError(`Cannot listen on ${host}:${port}: ${messageOf(error)}.`);
  }
  return listener(server, `http://${host.includes(":") ? `[${host}]` : host}:${server.port}`);
}

export interface UnixSocketOptions {
  readonly mode: number;
  /** Numeric ids; -1 leaves one as it is. */
  readonly owner?: { readonly user: number; readonly group: number };
}

/**
 * A stale socket file is replaced; one that somebody listens on is an error.
 *
 * @throws {ListenerError}
 */
export async function listenOnUnixSocket(
  path: string,
  { mode, owner }: UnixSocketOptions,
  handler: Handler,
  limits: ListenerLimits,
): Promise<Listener> {
  if (await isLive(path)) {
    throw new ListenerError(`The socket ${path} is in use by another process. Stop it, or choose another path.`);
  }
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === false) {
    throw new ListenerError(`${path} exists and is no socket. Move it away, or choose another path.`);
  }
  try {
    rmSync(path, { force: true });
    // Nobody can connect between the socket's creation and its chmod.
    const before = process.umask(0o777);
    try {
      const server = serveHttp({ ...common(handler, limits, checkTarget), unix: path });
      if (owner !== undefined) chownSync(path, owner.user, owner.group);
      chmodSync(path, mode);
      return listener(server, `unix:${path}`);
    } finally {
      process.umask(before);
    }
  } catch (error) {
    throw new ListenerError(
      `Cannot listen on the socket ${path}: ${messageOf(error)}. Check that its folder exists and may be written, and that the owner may be set.`,
    );
  }
}

type TargetCheck = (url: string) => Response | undefined;

function common(handler: Handler, limits: ListenerLimits, checkUrl: TargetCheck) {
  return {
    fetch: gated(handler, limits, checkUrl),
    error: problemResponse,
    maxRequestBodySize: limits.bodyBytesMax,
  } as const;
}

/**
 * Bounds what is in flight. All callers of such a listener are one principal. Small requests, which are nearly all, pay for
 * a look at two numbers; the gate counts only those whose body could weigh.
 */
function gated(handler: Handler, limits: ListenerLimits, checkUrl: TargetCheck) {
  const gate = new RequestGate(limits);
  const load = { requests: 0 };
  const requestsMax = Math.min(limits.requestsMax, limits.requestsPerCallerMax);
  return (request: Request, server: HttpServer): Response | Promise<Response> => {
    if (server.pendingRequests > requestsMax)
      return answerRefusal(overloaded("This edge has too many requests in flight"));
    const misdirected = checkUrl(request.url);
    if (misdirected !== undefined) return misdirected;
    const length = request.headers.get("content-length");
    if (length !== null && Number(length) <= SMALL_BODY_BYTES) return handler(request);
    // Asked last: looking at `body` makes a stream of it.
    if (request.body === null) return handler(request);
    const admission = gate.enter(load, length === null ? undefined : Number(length), true);
    if ("details" in admission) return answerRefusal(admission);
    const answer = handler(request);
    if (answer instanceof Promise) return answer.finally(() => admission.leave());
    admission.leave();
    return answer;
  };
}

function listener(server: HttpServer, address: string): Listener {
  return {
    address,
    async close(timeoutMs) {
      const finished = server.stop(false);
      const cut = setTimeout(() => server.stop(true), timeoutMs);
      await finished;
      clearTimeout(cut);
    },
  };
}

function isLive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
