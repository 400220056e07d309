import type { TlsRequest } from "./server.ts";

/** A body that is longer than the limit; the rest of it is not read. */
export class BodyTooLarge extends Error {
  override readonly name = "BodyTooLarge";
}

/** A request's whole body, at most `maxBytes` of it. The buffer is the caller's. @throws BodyTooLarge */
export async function readBody(request: TlsRequest, maxBytes: number): Promise<Buffer> {
  const declared = Number(request.headers["content-length"] ?? 0);
  if (declared > maxBytes) throw new BodyTooLarge();
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) throw new BodyTooLarge();
    chunks.push(chunk);
  }
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, length);
}
