import type { TlsRequest } from "./server.ts";

/** A body that is longer than the limit; the rest of it is read and thrown away, so that the answer gets through. */
export class BodyTooLarge extends Error {
  override readonly name = "BodyTooLarge";
}

/** The caller went before the end of its body: there is no one to answer. */
export class RequestBrokenOff extends Error {
  override readonly name = "RequestBrokenOff";
}

/**
 * A request's whole body, at most `maxBytes` of it. The buffer is the caller's.
 *
 * @throws BodyTooLarge, RequestBrokenOff
 */
export function readBody(request: TlsRequest, maxBytes: number): Promise<Buffer> {
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
