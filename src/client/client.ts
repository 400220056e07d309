/**
 * The TypeScript client: a typed call for each operation, errors with the edge's own codes. Needs only `fetch`.
 *
 * @example
 * const edge = createClient({ url: "http://127.0.0.1:7402" });
 * const { wrapped, plaintext } = await edge.createKey({ tenant: "tenant-a", service: "billing", plaintext: true });
 * // encrypt the record with `plaintext`, wipe it, store `wrapped` beside the record; later:
 * const key = await edge.decryptKey({ wrapped });
 */
import { fromBase64url, toBase64url } from "../base64url.ts";
import type { EncryptionContext } from "../cipher/context.ts";
import { CryptoEdgeError, type ErrorCode, HTTP_STATUS, messageOf } from "../errors.ts";
import type { Created, CreatedBatch, Decrypted, DecryptedBatch, Rewrapped } from "../server/schemas.ts";

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

/** Every call throws {CryptoEdgeError} with the edge's code, or `lease_unavailable` when no edge answers. */
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

  async function call<Answer>(operation: string, body: unknown): Promise<Answer> {
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
    if (response.ok && answer !== undefined) return answer as Answer;
    throw errorFrom(answer, response.headers.get("retry-after"), response.status);
  }

  return {
    createKey: async (create) => readCreated(await call<Created>("create", create)),
    createKeys: async (create, count) =>
      (await call<CreatedBatch>("create-batch", { ...create, count })).keys.map(readCreated),
    decryptKey: async (item) => readOpened(await call<Decrypted>("decrypt", wrappedBody(item))),
    decryptKeys: async (items) =>
      (await call<DecryptedBatch>("decrypt-batch", { items: items.map(wrappedBody) })).results.map((result) =>
        "error" in result ? errorFrom(result.error, null) : readOpened(result),
      ),
    async rewrapKey(item) {
      const { wrapped, version } = await call<Rewrapped>("rewrap", wrappedBody(item));
      return { wrapped: bytesOf(wrapped), version };
    },
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
  if (bytes === undefined)
    throw new CryptoEdgeError("invalid_request", "The edge answered what is not base64url. Is it one?");
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

function errorFrom(answer: unknown, retryAfter: string | null, status?: number): CryptoEdgeError {
  const { code, detail } = (answer ?? {}) as { code?: string; detail?: string };
  const known =
    code !== undefined && Object.hasOwn(HTTP_STATUS, code)
      ? (code as ErrorCode)
      : status === 413
        ? "too_large"
        : "lease_unavailable";
  const retryAfterMs = retryAfter === null ? Number.NaN : Number(retryAfter) * 1000;
  return new CryptoEdgeError(
    known,
    detail ?? "The edge answered with an error that it did not explain.",
    Number.isFinite(retryAfterMs) ? { retryAfterMs } : {},
  );
}
