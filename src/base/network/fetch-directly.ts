/**
 * `fetch` by way of `node:http` and `node:https`, which ask no proxy of the environment: `fetch` itself sends even a request for loopback, in
 * the clear, to one, who could answer as it likes. No redirect is followed, and the answer is bounded.
 */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";

const ANSWER_BYTES_MAX = 1_048_576;

export interface DirectRequest {
  readonly headers: Headers;
  readonly signal: AbortSignal;
  readonly method?: string;
  readonly body?: string;
}

/** As jose calls it for a JWK set. Of an answer other than 200 only the status 502 is told. */
export function fetchDirectly(
  url: string,
  { headers, signal, method = "GET", body }: DirectRequest,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const send = url.startsWith("https:") ? httpsRequest : httpRequest;
    const request = send(url, {
      method,
      headers: Object.fromEntries(headers),
      agent: false,
      signal,
      rejectUnauthorized: true,
    });
    request.on("error", (error) => reject(signal.aborted ? signal.reason : error));
    request.on("response", (message: IncomingMessage) => {
      const chunks: Buffer[] = [];
      let length = 0;
      message.on("data", (chunk: Buffer) => {
        length += chunk.length;
        if (length <= ANSWER_BYTES_MAX) chunks.push(chunk);
        else request.destroy(new Error("the answer is too large"));
      });
      message.on("error", reject);
      message.on("close", () => reject(new Error("the answer was broken off")));
      message.on("end", () => {
        const status = message.statusCode ?? 500;
        // What a Response may have; a redirect and all else is no answer.
        resolve(
          new Response(status === 200 ? Buffer.concat(chunks, length) : null, { status: status === 200 ? 200 : 502 }),
        );
      });
    });
    request.end(body);
  });
}
