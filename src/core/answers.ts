/** How the Core answers over HTTP: JSON, and RFC 9457 problem documents with a stable code. */
import { messageOf } from "../base/errors.ts";
import { BodyTooLarge, type HttpRequest, type HttpResponse } from "./node-http.ts";
import { CORE_STATUS, CoreError } from "./protocol/core-error.ts";
import { StoreFull, StoreUnavailable, StoreUnfit } from "./store/store.ts";

export type CoreLog = (
  level: "info" | "warn" | "error",
  message: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

export function sendJson(response: HttpResponse, status: number, json: string): void {
  response.statusCode = status;
  response.setHeader("content-type", "application/json");
  response.setHeader("cache-control", "no-store");
  end(response, json);
}

/** A `Response`, as the administration's app makes them. */
export async function sendResponse(response: HttpResponse, answer: Response): Promise<void> {
  response.statusCode = answer.status;
  for (const [name, value] of answer.headers) if (name !== "set-cookie") response.setHeader(name, value);
  const cookies = answer.headers.getSetCookie();
  if (cookies.length > 0) response.setHeader("set-cookie", cookies);
  response.setHeader("cache-control", "no-store");
  end(response, Buffer.from(await answer.arrayBuffer()));
}

/** The head of a stream of server-sent events; its frames are written to the response then. */
export function beginEventStream(response: HttpResponse): void {
  response.statusCode = 200;
  response.setHeader("content-type", "text/event-stream");
  response.setHeader("cache-control", "no-store");
  // It ends with its connection (RFC 9112, 6.3): an event is one write then, where chunks are three.
  response.setHeader("connection", "close");
  response.removeHeader("transfer-encoding");
}

export function sendProblem(request: HttpRequest, response: HttpResponse, thrown: unknown, log: CoreLog): void {
  // The caller has gone, or a stream has begun: there is nobody to tell.
  if (response.headersSent || response.destroyed) return void response.destroy();
  // What is left of a body is thrown away, so that the answer gets through.
  request.resume();
  const { status, headers, body } = problemOf(thrown, log);
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  end(response, body);
}

/** Head and body are one TLS record and one system call: the runtime writes them one after the other. */
function end(response: HttpResponse, body: string | Buffer): void {
  const { socket } = response;
  socket?.cork();
  response.end(body);
  socket?.uncork();
}

export function problemResponse(thrown: unknown, log: CoreLog): Response {
  const { status, headers, body } = problemOf(thrown, log);
  return new Response(body, { status, headers });
}

function problemOf(
  thrown: unknown,
  log: CoreLog,
): { status: number; headers: Readonly<Record<string, string>>; body: string } {
  const error = coreErrorOf(thrown, log);
  const status = CORE_STATUS[error.code];
  return {
    status,
    headers: {
      "content-type": "application/problem+json",
      "cache-control": "no-store",
      ...(error.retryAfterSeconds === undefined ? {} : { "retry-after": String(error.retryAfterSeconds) }),
    },
    body: JSON.stringify({
      type: "about:blank",
      title: error.code,
      status,
      code: error.code,
      detail: error.message,
      ...error.details,
    }),
  };
}

/** What a caller is told of anything that was thrown; what it is not told is logged. */
export function coreErrorOf(thrown: unknown, log: CoreLog): CoreError {
  if (thrown instanceof CoreError) return thrown;
  if (thrown instanceof BodyTooLarge) return new CoreError("too_large", "the body is too large");
  if (thrown instanceof StoreFull) {
    log("error", "the disk is full", { reason: thrown.message });
    return new CoreError("storage_full", thrown.message, { retryAfterSeconds: 10 });
  }
  if (thrown instanceof StoreUnfit) {
    return new CoreError(
      "unavailable",
      "this Core must not go on with its database, and says why in its log: ask another",
      {
        retryAfterSeconds: 10,
      },
    );
  }
  if (thrown instanceof StoreUnavailable) {
    // The address is for the log: a caller can do nothing with it.
    log("warn", "a call found the database away", { reason: thrown.message });
    return new CoreError("unavailable", "this Core's database is away: ask again soon", { retryAfterSeconds: 1 });
  }
  log("error", "a call failed", { reason: messageOf(thrown) });
  return new CoreError("unavailable", "the Core failed at this call: ask again soon", { retryAfterSeconds: 1 });
}
