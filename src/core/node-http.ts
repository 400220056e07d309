/**
 * `node:http` on the connections of the Core's listeners. The edge's reader (base/network/http1) answers whole requests with whole answers or
 * with a stream that is pulled; a revocation is pushed to every stream in the call that told of it, by a write that says whether its edge
 * keeps up and how much it has not taken (event-stream.ts), and `node:http` gives that.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { ConnectionActivity } from "../base/network/connections.ts";
import type { Peer } from "../base/pki/peer-certificate.ts";

export type HttpRequest = IncomingMessage;
export type HttpResponse = ServerResponse;

export interface NodeHttpOptions {
  /** Answers a request. What it throws ends the connection and goes to `onError`. */
  readonly onRequest: (request: HttpRequest, response: HttpResponse, peer: Peer) => void | Promise<void>;
  readonly onError?: (error: unknown) => void;
}

interface Speaker {
  readonly peer: Peer;
  readonly activity: ConnectionActivity;
  /** Requests whose answers have not been handed over to the socket. */
  unanswered: number;
}

const SPEAKER = Symbol("crypto-edge speaker");
const HEADER_BYTES_MAX = 16_384;
/**
 * Requests that a caller may send ahead of their answers. `node:http` begins all that it reads at one go, hundreds of a kilobyte's
 * length, and nobody else is answered meanwhile; edges and administrators send none ahead.
 */
const AHEAD_MAX = 8;
/** Its parser begins every request of a chunk, also on a connection that was ended at the first: so it is given less at a time. */
const SLICE_BYTES = 4_096;

/** What takes a connection of `startTlsServer`. */
export function speakNodeHttp({
  onRequest,
  onError,
}: NodeHttpOptions): (socket: TLSSocket, peer: Peer, activity: ConnectionActivity) => void {
  const handle = (request: HttpRequest, response: HttpResponse): void => {
    const { socket } = request;
    const speaker = (socket as { [SPEAKER]?: Speaker })[SPEAKER];
    if (speaker === undefined) return void socket?.destroy();
    // What was read before the connection was ended.
    if (socket.destroyed) return;
    if (speaker.unanswered >= AHEAD_MAX) {
      socket.destroy();
      return void onError?.(new Error(`a caller sent more than ${AHEAD_MAX} requests ahead of their answers`));
    }
    speaker.unanswered++;
    const { peer, activity } = speaker;
    // It was good when the connection began.
    if (peer.certificate !== undefined && peer.certificate.notAfterMs < Date.now()) return void socket.destroy();
    activity.requestBegan();
    if (hasBody(request)) activity.bodyAwaited(request);
    const bodyEnded = (): void => activity.bodyTaken(request);
    request.once("end", bodyEnded);
    let finished = false;
    const finish = (): void => {
      if (finished) return;
      finished = true;
      speaker.unanswered--;
      bodyEnded();
      activity.requestEnded();
    };
    response.once("finish", finish);
    response.once("close", finish);
    request.on("error", finish);
    response.on("error", finish);
    if (activity.closing) response.setHeader("connection", "close");
    const failed = (error: unknown): void => {
      onError?.(error);
      socket.destroy();
    };
    try {
      const done = onRequest(request, response, peer);
      if (done instanceof Promise) done.catch(failed);
    } catch (error) {
      failed(error);
    }
  };
  // It is given its sockets, so its own timeouts are off: the listener's connections are swept (base/network/connections.ts).
  const http = createServer(
    { maxHeaderSize: HEADER_BYTES_MAX, keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 },
    handle,
  );
  http.on("clientError", refuseHead);
  return (socket, peer, activity) => {
    Object.defineProperty(socket, SPEAKER, { value: { peer, activity, unanswered: 0 } satisfies Speaker });
    feedInSlices(socket, () => http.emit("connection", socket));
  };
}

/** Has what `listen` adds to the socket's readers read slices of what comes, and nothing of a connection that was ended. */
function feedInSlices(socket: TLSSocket, listen: () => void): void {
  const before = new Set(socket.listeners("data"));
  listen();
  for (const listener of socket.listeners("data")) {
    if (before.has(listener)) continue;
    const read = listener as (chunk: Uint8Array) => void;
    socket.on("data", (chunk: Uint8Array) => {
      for (let at = 0; at < chunk.length && !socket.destroyed; at += SLICE_BYTES) {
        read.call(socket, chunk.subarray(at, at + SLICE_BYTES));
      }
    });
    socket.off("data", read);
  }
}

/** What is no request of HTTP/1.1 gets its answer, and its connection ends. */
function refuseHead({ code }: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable) return void socket.destroy();
  const [status, title] =
    code === "HPE_HEADER_OVERFLOW" ? [431, "Request Header Fields Too Large"] : [400, "Bad Request"];
  const detail = "this is not a request of HTTP/1.1";
  const body = JSON.stringify({
    type: "about:blank",
    title: "invalid_request",
    status,
    code: "invalid_request",
    detail,
  });
  socket.end(
    `HTTP/1.1 ${status} ${title}\r\nContent-Type: application/problem+json\r\nContent-Length: ${body.length}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}

/** Only a body is waited for with a time limit: nobody may read a request without one to its end. */
function hasBody({ headers }: HttpRequest): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/** A body that is longer than the limit; the rest of it is read and thrown away, so that the answer gets through. */
export class BodyTooLarge extends Error {
  override readonly name = "BodyTooLarge";
}

/** The caller went before the end of its body: there is no one to answer. */
class RequestBrokenOff extends Error {
  override readonly name = "RequestBrokenOff";
}

/**
 * A request's whole body, at most `maxBytes` of it. The buffer is the caller's.
 *
 * @throws BodyTooLarge, RequestBrokenOff
 */
export function readBody(request: HttpRequest, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const declared = Number(request.headers["content-length"] ?? 0);
    let chunks: Buffer[] = [];
    let length = 0;
    let refused = false;
    const refuse = (error: Error): void => {
      refused = true;
      chunks = [];
      reject(error);
    };
    request.on("data", (chunk: Buffer) => {
      if (refused) return;
      length += chunk.length;
      if (length > maxBytes) return refuse(new BodyTooLarge());
      chunks.push(chunk);
    });
    let ended = false;
    request.on("end", () => {
      ended = true;
      resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks));
    });
    // Every request closes: an error, with its stack, is made only where one is told.
    const brokenOff = (): void => {
      if (!ended) reject(new RequestBrokenOff("the caller broke off its request"));
    };
    request.on("error", brokenOff);
    request.on("close", brokenOff);
    if (declared > maxBytes) refuse(new BodyTooLarge());
  });
}
