/**
 * The TypeScript client: a typed call for each operation, errors with the edge's own codes. Needs only `fetch`.
 *
 * @example
 * const edge = createClient({ url: "http://127.0.0.1:7402" });
 * const { wrapped, plaintext } = await edge.createKey({ tenant: "tenant-a", service: "billing", plaintext: true });
 * // encrypt the record with `plaintext`, wipe it, store `wrapped` beside the record; later:
 * const key = await edge.decryptKey({ wrapped });
 */
import { fromBase64url, toBase64url } from "../../base/base64url.ts";
import { messageOf } from "../../base/errors.ts";
import type { EncryptionContext } from "../../edge/cipher/context.ts";
import type { Created, CreatedBatch, Decrypted, DecryptedBatch, Rewrapped } from "../../edge/doors/native/schemas.ts";
import { CryptoEdgeError } from "./edge-error.ts";

export interface ClientOptions {
  /** `http://127.0.0.1:7402`, `https://…`, or `unix:/run/crypto-edge/billing.sock` (Bun only). */
  readonly url: string;
  /** Milliseconds that one call may take; 10,000 unless given. */
  readonly timeoutMs?: number;
  /** Sent as `Authorization: Bearer …`, for listeners that take tokens. */
  readonly token?: string;
  /** Passed on to `fetch`: on Bun `{ tls: { cert, key, ca } }` for a client certificate. */
  readonly fetchOptions?: Readonly<Record<string, unknown>>;
}

export interface CreateKeyOptions {
  readonly tenant: string;
  /** `default` unless given. */
  readonly service?: string;
  readonly context?: EncryptionContext;
  /** Bytes of the data key: 16, 32 (unless given) or 64. */
  readonly length?: 16 | 32 | 64;
  /** Whether the data key is wanted too, not only its wrapped form. */
  readonly plaintext?: boolean;
}

export interface WrappedKeyOptions {
  /** As it was returned. */
  readonly wrapped: Uint8Array;
  readonly context?: EncryptionContext;
}

export interface ClientCreatedKey {
  /** Store it beside the data. */
  readonly wrapped: Uint8Array;
  readonly version: number;
  /** The data key, if asked for; yours to wipe. */
  readonly plaintext: Uint8Array | undefined;
}

export interface ClientOpenedKey {
  /** The data key; yours to wipe. */
  readonly plaintext: Uint8Array;
  readonly tenant: string;
  readonly service: string;
  readonly version: number;
}

/**
 * Every call throws {CryptoEdgeError} with the edge's code, or `lease_unavailable` when no edge answers. No call is repeated
 * here: `mayPass` tells when that can help, and how long to go on is the caller's to say.
 */
export interface Client {
  createKey(options: CreateKeyOptions): Promise<ClientCreatedKey>;
  createKeys(options: CreateKeyOptions, count: number): Promise<ClientCreatedKey[]>;
  decryptKey(options: WrappedKeyOptions): Promise<ClientOpenedKey>;
  /** A key or its own error for each, in the order asked. */
  decryptKeys(items: readonly WrappedKeyOptions[]): Promise<(ClientOpenedKey | CryptoEdgeError)[]>;
  rewrapKey(options: WrappedKeyOptions): Promise<{ wrapped: Uint8Array; version: number }>;
}

export function createClient(options: ClientOptions): Client {
  const socket = options.url.startsWith("unix:") ? options.url.slice(5) : undefined;
  const base = socket === undefined ? options.url.replace(/\/$/, "") : "http://localhost";

  async function call<Answer, Result>(
    operation: string,
    body: unknown,
    read: (answer: Answer) => Result,
  ): Promise<Result> {
    let response: Response;
    let answer: unknown;
    try {
      response = await fetch(`${base}/v1/keys/${operation}`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
        },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(options.timeoutMs ?? 10_000),
        ...options.fetchOptions,
        ...(socket === undefined ? {} : { unix: socket }),
      });
      answer = parseJson(await response.text());
    } catch (cause) {
      throw new CryptoEdgeError(
        "lease_unavailable",
        `No edge answers at ${options.url}: ${messageOf(cause)}. Start one, or give its address.`,
        { cause },
      );
    }
    if (!response.ok) throw errorFrom(answer, response.headers.get("retry-after"), response.status);
    try {
      return read(answer as Answer);
    } catch {
      throw new CryptoEdgeError("unexpected_answer", `What answers at ${options.url} is no edge. Check the address.`, {
        status: response.status,
      });
    }
  }

  return {
    createKey: (create) => call("create", create, readCreated),
    createKeys: (create, count) =>
      call("create-batch", { ...create, count }, ({ keys }: CreatedBatch) => keys.map(readCreated)),
    decryptKey: (item) => call("decrypt", wrappedBody(item), readOpened),
    decryptKeys: (items) =>
      call("decrypt-batch", { items: items.map(wrappedBody) }, ({ results }: DecryptedBatch) =>
        results.map((result) => ("error" in result ? errorFrom(result.error, null) : readOpened(result))),
      ),
    rewrapKey: (item) =>
      call("rewrap", wrappedBody(item), ({ wrapped, version }: Rewrapped) => ({ wrapped: bytesOf(wrapped), version })),
  };
}

function wrappedBody({ wrapped, context }: WrappedKeyOptions): object {
  return { wrapped: toBase64url(wrapped), ...(context === undefined ? {} : { context }) };
}

function readCreated({ wrapped, version, plaintext }: Created): ClientCreatedKey {
  return { wrapped: bytesOf(wrapped), version, plaintext: plaintext === undefined ? undefined : bytesOf(plaintext) };
}

function readOpened({ plaintext, tenant, service, version }: Decrypted): ClientOpenedKey {
  return { plaintext: bytesOf(plaintext), tenant, service, version };
}

function bytesOf(text: string): Uint8Array {
  const bytes = fromBase64url(text);
  if (bytes === undefined) throw new TypeError("This is not base64url.");
  return bytes;
}

/** A server refuses some requests before the edge sees them, and then explains nothing: undefined. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What a proxy, or the runtime below the edge, answers without an explanation. */
const UNEXPLAINED: Readonly<Record<number, string>> = {
  413: "too_large",
  429: "rate_limited",
  502: "lease_unavailable",
  503: "lease_unavailable",
  504: "lease_unavailable",
};

function errorFrom(answer: unknown, retryAfter: string | null, answered?: number): CryptoEdgeError {
  const told = (answer ?? {}) as { code?: unknown; detail?: unknown; status?: unknown };
  const status = answered ?? (typeof told.status === "number" ? told.status : undefined);
  const code = typeof told.code === "string" ? told.code : (UNEXPLAINED[status ?? 0] ?? "unexpected_answer");
  const sentence =
    typeof told.detail === "string" ? told.detail : `An answer with the status ${status} that explains nothing.`;
  const retryAfterMs = retryAfter === null ? Number.NaN : Number(retryAfter) * 1000;
  return new CryptoEdgeError(code, sentence, {
    status,
    retryAfterMs: Number.isFinite(retryAfterMs) ? retryAfterMs : undefined,
  });
}
