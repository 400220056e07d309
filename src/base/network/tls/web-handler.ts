import type { Peer } from "../../pki/peer-certificate.ts";
import { BodyRefused, BodyTooLarge, RequestBrokenOff, readBody } from "./body.ts";
import type { TlsRequest, TlsResponse } from "./server.ts";

/** The one kind of answer that has no end: it is streamed. Any other is in memory whole, and is sent so. */
const EVENT_STREAM = "text/event-stream";

/** Told how much of a body has come; an answer turns the rest of it away. */
export type BodyGrew = (bytes: number) => Response | undefined;

/** An application that speaks the web's `Request` and `Response`, told who calls. */
export type WebHandler = (request: Request, peer: Peer) => Response | Promise<Response>;

/**
 * Puts a web-standard application behind the TLS server. The body is read whole first, within `maxBodyBytes`; a longer
 * one gets `tooLarge()`'s answer. Event streams are sent with back-pressure.
 */
export function webHandler(
  handler: WebHandler,
  options: { readonly maxBodyBytes: number; readonly tooLarge: () => Response },
): (request: TlsRequest, response: TlsResponse, peer: Peer, grew?: BodyGrew) => Promise<void> {
  return async (request, response, peer, grew) => {
    const method = request.method ?? "GET";
    let answer: Response;
    try {
      const bodyless = method === "GET" || method === "HEAD";
      const body = bodyless ? undefined : await readBody(request, options.maxBodyBytes, grew);
      answer = await handler(toWebRequest(request, method, body), peer);
    } catch (error) {
      if (error instanceof RequestBrokenOff) return void response.destroy();
      if (error instanceof BodyRefused) answer = error.answer;
      else if (error instanceof BodyTooLarge) answer = options.tooLarge();
      else throw error;
    }
    await send(answer, response, method === "HEAD");
  };
}

function toWebRequest(request: TlsRequest, method: string, body: Buffer | undefined): Request {
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    if (name.startsWith(":") || value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) headers.append(name, one);
  }
  const authority = request.headers[":authority"] ?? request.headers.host ?? "localhost";
  const path = request.url?.startsWith("/") ? request.url : "/";
  let url: URL;
  try {
    url = new URL(path, `https://${String(authority)}`);
  } catch {
    url = new URL(path, "https://localhost");
  }
  return new Request(url, { method, headers, ...(body === undefined ? {} : { body: new Uint8Array(body) }) });
}

async function send(answer: Response, response: TlsResponse, headOnly: boolean): Promise<void> {
  response.statusCode = answer.status;
  for (const [name, value] of answer.headers) {
    if (name !== "set-cookie") response.setHeader(name, value);
  }
  const cookies = answer.headers.getSetCookie();
  if (cookies.length > 0) response.setHeader("set-cookie", cookies);
  if (answer.body === null || headOnly) {
    await answer.body?.cancel();
    return void response.end();
  }
  if (answer.headers.get("content-type")?.startsWith(EVENT_STREAM) !== true) {
    const bytes = new Uint8Array(await answer.arrayBuffer());
    response.setHeader("content-length", bytes.length);
    return void response.end(bytes);
  }
  const reader = answer.body.getReader();
  const gone = new Promise<void>((resolve) => response.once("close", resolve));
  response.once("close", () => void reader.cancel().catch(() => undefined));
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (response.destroyed) return;
    const flowing = (response as { write(chunk: Uint8Array): boolean }).write(value);
    if (!flowing) await Promise.race([new Promise<void>((resolve) => response.once("drain", resolve)), gone]);
  }
  response.end();
}
