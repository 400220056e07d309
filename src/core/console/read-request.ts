/** A request of `node:http` as the app takes it: whole, with no header that the console has no use for. */
import { type HttpRequest, readBody } from "../node-http.ts";

const MAX_BODY_BYTES = 16_384;
/** What the app may see of a request. */
const HEADERS = ["host", "origin", "sec-fetch-site", "content-type", "accept", "cookie", "authorization"] as const;
const HERE = "https://console.invalid";

/** @throws BodyTooLarge, RequestBrokenOff */
export async function readRequest(request: HttpRequest): Promise<Request> {
  const method = request.method ?? "GET";
  const target = request.url ?? "/";
  const body = method === "POST" ? await readBody(request, MAX_BODY_BYTES) : undefined;
  const headers = new Headers();
  for (const name of HEADERS) {
    const value = request.headers[name];
    if (typeof value === "string") headers.set(name, value);
  }
  return new Request(isAsSent(target) ? `${HERE}${target}` : `${HERE}/-`, {
    method,
    headers,
    ...(body === undefined ? {} : { body: Uint8Array.from(body) }),
  });
}

/** A path is matched as it was sent: what would only mean a page after it was tidied up means none. */
function isAsSent(target: string): boolean {
  const path = target.split("?", 1)[0]!;
  return path.startsWith("/") && URL.canParse(target, HERE) && new URL(`${HERE}${target}`).pathname === path;
}
