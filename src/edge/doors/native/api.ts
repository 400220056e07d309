/**
 * The operations of the API as plain functions from a checked body to an answer's body, whatever carries them. Data keys are
 * wiped once they have been written into an answer.
 */

import { fromBase64url, toBase64url } from "../../../base/base64url.ts";
import { CryptoEdgeError } from "../../../base/errors.ts";
import { problemOf } from "../../../base/network/problem.ts";
import { mapInTurns } from "../../../base/time/turns.ts";
import { wipe } from "../../../base/wipe.ts";
import type {
  Caller,
  CreatedKey,
  CreateKeyRequest,
  MaybePromise,
  Opened,
  Operations,
} from "../../operations/operations.ts";
import type {
  CreateBatchBody,
  CreateBody,
  Created,
  CreatedBatch,
  DecryptBatchBody,
  Decrypted,
  DecryptedBatch,
  Rewrapped,
  WrappedBody,
} from "./schemas.ts";

export interface Api {
  create(caller: Caller, body: CreateBody): MaybePromise<Created>;
  createBatch(caller: Caller, body: CreateBatchBody): MaybePromise<CreatedBatch>;
  decrypt(caller: Caller, body: WrappedBody): MaybePromise<Decrypted>;
  decryptBatch(caller: Caller, body: DecryptBatchBody): MaybePromise<DecryptedBatch>;
  rewrap(caller: Caller, body: WrappedBody): MaybePromise<Rewrapped>;
}

export function createApi(operations: Operations): Api {
  return {
    create: (caller, body) => then(operations.createKey(caller, createRequest(body)), showCreated),

    createBatch: (caller, body) =>
      then(operations.createKeys(caller, createRequest(body), body.count), (made) =>
        then(mapInTurns(made, showCreated), (keys) => ({ keys })),
      ),

    decrypt: (caller, body) =>
      then(operations.decryptKey(caller, { wrapped: wrappedBytes(body), context: body.context }), showDecrypted),

    decryptBatch(caller, body) {
      // A text that is no base64url is that item's own error, like a malformed blob.
      const requests = body.items.map((item) => ({
        wrapped: fromBase64url(item.wrapped) ?? new Uint8Array(0),
        context: item.context,
      }));
      return then(operations.decryptKeys(caller, requests), (opened) =>
        then(
          mapInTurns(opened, (result) =>
            result instanceof CryptoEdgeError ? { error: problemOf(result) } : showDecrypted(result),
          ),
          (results) => ({ results }),
        ),
      );
    },

    rewrap: (caller, body) =>
      then(
        operations.rewrap(caller, { wrapped: wrappedBytes(body), context: body.context }),
        ({ wrapped, tenant, service, version }) => ({ wrapped: toBase64url(wrapped), tenant, service, version }),
      ),
  };
}

function then<T, U>(value: MaybePromise<T>, use: (value: T) => MaybePromise<U>): MaybePromise<U> {
  return value instanceof Promise ? value.then(use) : use(value);
}

function createRequest(body: CreateBody): CreateKeyRequest {
  const { tenant, service = "default", context, length, plaintext } = body;
  return { tenant, service, context, length, plaintext };
}

function wrappedBytes(body: WrappedBody): Uint8Array {
  const bytes = fromBase64url(body.wrapped);
  if (bytes !== undefined) return bytes;
  throw new CryptoEdgeError(
    "invalid_blob",
    '"wrapped" is not base64url without padding. Pass it exactly as it was returned.',
  );
}

function showCreated(key: CreatedKey): Created {
  const created: Created = { wrapped: toBase64url(key.wrapped), version: key.version };
  if (key.plaintext !== undefined) created.plaintext = showOnce(key.plaintext);
  return created;
}

function showDecrypted(key: Opened): Decrypted {
  return { plaintext: showOnce(key.plaintext), tenant: key.tenant, service: key.service, version: key.version };
}

function showOnce(dataKey: Uint8Array): string {
  const text = toBase64url(dataKey);
  wipe(dataKey);
  return text;
}
