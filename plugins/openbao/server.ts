/** Calls to an OpenBao or Vault server. Bodies are bytes both ways: a key in an answer is never made a string. */
import { readFileSync } from "node:fs";
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";

export interface ServerOptions {
  /** `https://host:8200`; plain http on loopback only. */
  readonly address: string;
  /** A file of CA certificates (PEM) to trust instead of the system's. */
  readonly ca?: string | undefined;
  readonly namespace?: string | undefined;
  readonly timeoutMs: number;
}

export interface Answer {
  readonly status: number;
  /** The caller's, who wipes it where it holds a key. */
  readonly body: Buffer;
  readonly retryAfterMs: number | undefined;
}

/** The server can't be reached, or does not answer as it should. */
export class ServerError extends Error {
  override readonly name = "ServerError";
  readonly retryAfterMs: number | undefined;

  constructor(message: string, options: { retryAfterMs?: number | undefined; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.retryAfterMs = options.retryAfterMs;
  }
}

const BODY_MAX = 4 * 2 ** 20;

export class Server {
  readonly #options: ServerOptions;
  /** Its own: the runtime's asks a proxy where the environment wants that. */
  readonly #agents = { http: new HttpAgent({ keepAlive: true }), https: new HttpsAgent({ keepAlive: true }) };

  constructor(options: ServerOptions) {
    this.#options = options;
  }

  /** `path` from `/v1/` on. @throws {ServerError} when there is no answer; any status is one. */
  call(
    method: "GET" | "POST" | "PUT",
    path: string,
    token: string | undefined,
    body: Buffer | object | undefined,
    signal: AbortSignal,
  ): Promise<Answer> {
    const { address, ca, namespace, timeoutMs } = this.#options;
    const url = new URL(`/v1/${path}`, address);
    const bytes = body === undefined || Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    const headers = {
      "x-vault-request": "true",
      ...(token === undefined ? {} : { "x-vault-token": token }),
      ...(namespace === undefined ? {} : { "x-vault-namespace": namespace }),
      ...(bytes === undefined ? {} : { "content-type": "application/json", "content-length": String(bytes.length) }),
    };
    return new Promise((resolve, reject) => {
      const failed = (cause: unknown): void =>
        reject(new ServerError(`${url.origin} can't be reached: ${messageOf(cause)}`, { cause }));
      const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
      try {
        const request =
          url.protocol === "https:"
            ? httpsRequest(url, {
                method,
                headers,
                agent: this.#agents.https,
                signal: limit,
                ...(ca === undefined ? {} : { ca: readFileSync(ca) }),
              })
            : httpRequest(url, { method, headers, agent: this.#agents.http, signal: limit });
        request.on("error", failed);
        request.on("response", (response) => collect(response).then(resolve, failed));
        request.end(bytes);
      } catch (error) {
        failed(error);
      }
    });
  }
}

async function collect(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > BODY_MAX) {
      response.destroy();
      throw new Error("the answer is too long");
    }
  }
  const body = Buffer.concat(chunks);
  for (const chunk of chunks) chunk.fill(0);
  const seconds = Number(response.headers["retry-after"]);
  return { status: response.statusCode ?? 0, body, retryAfterMs: seconds > 0 ? seconds * 1_000 : undefined };
}

/** The JSON of an answer that holds no key. */
export function jsonOf(answer: Answer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(answer.body.toString("utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** What the server says is wrong; its errors name paths and policies, never secrets. */
export function errorsOf(answer: Answer): string {
  const { errors } = jsonOf(answer);
  const text = Array.isArray(errors) && errors.length > 0 ? errors.join("; ") : "no reason given";
  return `status ${answer.status}: ${text.replace(/\s+/g, " ").slice(0, 200)}`;
}

/** Base64 in `"plaintext":"…"`, decoded from the bytes themselves. Undefined where there is none of `length` bytes. */
export function plaintextOf(body: Buffer, length: number): Uint8Array | undefined {
  const mark = body.indexOf('"plaintext":"');
  if (mark < 0) return undefined;
  const from = mark + '"plaintext":"'.length;
  const to = body.indexOf('"', from);
  const plaintext = new Uint8Array(length);
  let bits = 0;
  let value = 0;
  let written = 0;
  for (let index = from; index < to; index++) {
    const digit = digitOf(body[index]!);
    if (digit === PADDING) break;
    if (digit === undefined) return undefined;
    value = ((value << 6) | digit) & 0xffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    if (written === length) return undefined;
    plaintext[written++] = (value >> bits) & 0xff;
  }
  if (written === length) return plaintext;
  plaintext.fill(0);
  return undefined;
}

const PADDING = -1;

function digitOf(byte: number): number | undefined {
  if (byte >= 0x41 && byte <= 0x5a) return byte - 0x41;
  if (byte >= 0x61 && byte <= 0x7a) return byte - 0x61 + 26;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30 + 52;
  if (byte === 0x2b) return 62;
  if (byte === 0x2f) return 63;
  return byte === 0x3d ? PADDING : undefined;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
