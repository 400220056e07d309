/**
 * The TypeScript client: a typed call for each operation of an edge, on Node, Bun, Deno, and runtimes that have only `fetch`.
 * docs/client.md is its guide.
 *
 * @example
 * ```ts
 * const edge = createClient({ url: "unix:/run/crypto-edge/billing.sock" });
 * const { wrapped, plaintext } = await edge.createKey({ tenant: "tenant-a", service: "billing", plaintext: true });
 * // encrypt the record with `plaintext`, wipe it, store `wrapped` beside the record; later:
 * const key = await edge.decryptKey({ wrapped });
 * ```
 */
import { fromBase64url, toBase64url } from "../../base/base64url.ts";
// Types alone, of the edge's own table of routes: what an edge answers is what is read here.
import type { Created, Decrypted, DecryptedValue, EncryptedValue, Rewrapped } from "../../edge/doors/native/schemas.ts";
import { BATCH_MAX, readCreateBatch, readDecryptBatch, writeCreateBatch, writeDecryptBatch } from "./batch-bytes.ts";
import { Caller, type CallHistogram } from "./caller.ts";
import { CryptoEdgeError, errorFromAnswer } from "./edge-error.ts";
import { FetchTransport } from "./fetch-transport.ts";
import { inBatches } from "./in-batches.ts";
import { hasNodeHttp, NodeTransport } from "./node-transport.ts";
import type { Client, ClientCreatedKey, ClientOpenedKey, ClientRewrappedKey, WrappedKeyOptions } from "./operations.ts";
import type { RetryOptions } from "./retry.ts";
import { watchRevocations } from "./revocations.ts";
import { type ClientTls, readAddress, type Transport } from "./transport.ts";
import { parseWrapped } from "./wrapped.ts";

/** Where the edge is, how the client proves itself, and how long a call may take. */
export interface ClientOptions {
  /** `unix:/run/crypto-edge/billing.sock`, `https://…`, or on this machine `http://127.0.0.1:7402`. */
  readonly url: string;
  /** Milliseconds that one call may take, with all its retries; 10,000 unless given. */
  readonly timeoutMs?: number;
  /** Sent as `Authorization: Bearer …`, for listeners that take tokens. A function is asked for each call. */
  readonly token?: string | (() => string | Promise<string>);
  /** For `https://`: client certificate, its key, the edge's CA. A function is asked again each minute, so that renewed files are taken. */
  readonly tls?: ClientTls | (() => ClientTls);
  /** Connections at once, each kept for later calls; 16 unless given. */
  readonly connections?: number;
  /** Calls whose errors pass by themselves are sent again; `{ attempts: 1 }` for never. */
  readonly retry?: RetryOptions;
  /** Is told how long each call took, and how it ended: a `prom-client` Histogram with the labels `operation` and `code` fits. */
  readonly histogram?: CallHistogram;
  /** Used instead of `node:http`; for runtimes that lack it, their own is taken by itself. */
  readonly fetch?: typeof fetch;
}

/**
 * A client of one edge. Make one and keep it: it keeps connections.
 *
 * @throws {TypeError} for an address that no edge can have, or that this runtime can't reach.
 *
 * @example
 * ```ts
 * const edge = createClient({ url: "https://edge.internal:7443", tls: () => ({ cert, key, ca }), timeoutMs: 2_000 });
 * const { plaintext } = await edge.decryptKey({ wrapped, context: { purpose: "invoice" } });
 * ```
 */
export function createClient(options: ClientOptions): Client {
  const transport = createTransport(options);
  const caller = new Caller(transport, options);

  return {
    async createKey(create, call) {
      const { wrapped, version, plaintext, cacheSeconds } = await caller.json(
        "create",
        "/v1/keys/create",
        create,
        readCreated,
        call,
      );
      return { wrapped, version, plaintext, cacheSeconds };
    },
    async createKeys(create, count, call) {
      if (!Number.isSafeInteger(count) || count < 1)
        throw new CryptoEdgeError("invalid_request", "The count of keys is a whole number from 1.");
      const { tenant, service = "default", length = 32, plaintext = false, context } = create;
      const batch = { tenant, service, length, plaintext, context };
      const keys: ClientCreatedKey[] = [];
      while (keys.length < count) {
        const body = writeCreateBatch(batch, Math.min(count - keys.length, BATCH_MAX));
        const made = await caller.bytes(
          "create-batch",
          "/v1/keys/create-batch",
          body,
          (answer, cacheSeconds) => readCreateBatch(answer, plaintext ? length : 0, cacheSeconds),
          call,
        );
        for (const key of made) keys.push(key);
      }
      return keys;
    },
    decryptKey: (item, call) => caller.json("decrypt", "/v1/keys/decrypt", wrappedBody(item), readOpened, call),
    async decryptKeys(items, call) {
      // An item that is no wrapped key at all is its own error, and is not sent.
      const results: (ClientOpenedKey | CryptoEdgeError)[] = items.map(({ wrapped }) => malformed(wrapped)!);
      const sent = items.flatMap((item, index) => (results[index] === undefined ? [{ item, index }] : []));
      const opened = await inBatches(
        sent,
        ({ item }) => item.wrapped.length + 4,
        (slice) => {
          const batch = slice.map(({ item }) => item);
          return caller.bytes(
            "decrypt-batch",
            "/v1/keys/decrypt-batch",
            writeDecryptBatch(batch),
            (answer, cacheSeconds) =>
              readDecryptBatch(answer, batch).map((result) =>
                result instanceof CryptoEdgeError ? result : { ...result, cacheSeconds },
              ),
            call,
          );
        },
      );
      for (const [place, { index }] of sent.entries()) results[index] = opened[place]!;
      return results;
    },
    rewrapKey: (item, call) =>
      caller.json(
        "rewrap",
        "/v1/keys/rewrap",
        wrappedBody(item),
        (answer: Rewrapped) => readRewrapped(item, answer),
        call,
      ),
    rewrapKeys: (items, call) =>
      inBatches(
        items,
        ({ wrapped }) => wrapped.length * 1.4 + 64,
        (slice) =>
          caller.json(
            "rewrap-batch",
            "/v1/keys/rewrap-batch",
            { items: slice.map(wrappedBody) },
            ({ results }: BatchAnswer<Rewrapped>) => {
              if (results.length !== slice.length) throw new RangeError("another number of answers");
              return results.map((result, index) =>
                "error" in result ? errorFromAnswer(result.error) : readRewrapped(slice[index]!, result),
              );
            },
            call,
          ),
      ),
    encryptValue: ({ value, ...rest }, call) =>
      caller.json(
        "encrypt",
        "/v1/values/encrypt",
        { ...rest, value: toBase64url(value) },
        ({ wrapped, version }: EncryptedValue) => ({ wrapped: bytesOf(wrapped), version }),
        call,
      ),
    decryptValue: (item, call) =>
      caller.json(
        "decrypt-value",
        "/v1/values/decrypt",
        wrappedBody(item),
        ({ value, tenant, service, version }: DecryptedValue) => ({
          value: bytesOf(value),
          tenant,
          service,
          version,
        }),
        call,
      ),
    watchRevocations: (listener) => watchRevocations(transport, () => caller.authorization(), listener),
    close: () => transport.close(),
  };
}

function createTransport(options: ClientOptions): Transport {
  const address = readAddress(options.url);
  if (options.fetch === undefined && hasNodeHttp()) {
    return new NodeTransport({ address, tls: options.tls, connections: options.connections ?? 16 });
  }
  if (options.tls !== undefined)
    throw new TypeError("This runtime's fetch takes no client certificates: use a token instead.");
  return new FetchTransport(address, options.fetch ?? fetch);
}

interface BatchAnswer<Answer extends object> {
  readonly results: readonly (Answer | { readonly error: unknown })[];
}

function malformed(wrapped: Uint8Array): CryptoEdgeError | undefined {
  try {
    parseWrapped(wrapped);
    return undefined;
  } catch (error) {
    return error as CryptoEdgeError;
  }
}

function wrappedBody({ wrapped, context }: WrappedKeyOptions): object {
  return { wrapped: toBase64url(wrapped), ...(context === undefined ? {} : { context }) };
}

function readCreated({ wrapped, version, plaintext, cache_seconds }: Created): ClientCreatedKey {
  const key = plaintext === undefined ? undefined : bytesOf(plaintext);
  return { wrapped: bytesOf(wrapped), version, plaintext: key, cacheSeconds: cache_seconds };
}

function readOpened({ plaintext, tenant, service, version, cache_seconds }: Decrypted): ClientOpenedKey {
  return { plaintext: bytesOf(plaintext), tenant, service, version, cacheSeconds: cache_seconds };
}

function readRewrapped(item: WrappedKeyOptions, { wrapped, version }: Rewrapped): ClientRewrappedKey {
  return { wrapped: bytesOf(wrapped), version, wasActive: parseWrapped(item.wrapped).version === version };
}

function bytesOf(text: string): Uint8Array {
  const bytes = fromBase64url(text);
  if (bytes === undefined) throw new TypeError("This is not base64url.");
  return bytes;
}
