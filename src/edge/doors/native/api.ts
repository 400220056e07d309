/**
 * The operations of the API as plain functions from a checked body to an answer's body, whatever carries them. Data keys are
 * wiped once they have been written into an answer.
 */

import { fromBase64url, toBase64url } from "../../../base/base64url.ts";
import { CryptoEdgeError } from "../../../base/errors.ts";
import { problemOf } from "../../../base/network/problem.ts";
import { mapInTurns } from "../../../base/time/turns.ts";
import { wipe } from "../../../base/wipe.ts";
import type { Principal } from "../../access/principal.ts";
import type {
  CreatedKey,
  CreateKeyRequest,
  DecryptedKey,
  MaybePromise,
  Orchestrator,
} from "../../operations/orchestrator.ts";
import type { RequestId } from "../../operations/usage-recorder.ts";
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
import { decryptInSlices } from "./slices.ts";

export interface Api {
  create(principal: Principal, body: CreateBody, requestId?: RequestId): MaybePromise<Created>;
  createBatch(principal: Principal, body: CreateBatchBody, requestId?: RequestId): MaybePromise<CreatedBatch>;
  decrypt(principal: Principal, body: WrappedBody, requestId?: RequestId): MaybePromise<Decrypted>;
  decryptBatch(principal: Principal, body: DecryptBatchBody, requestId?: RequestId): MaybePromise<DecryptedBatch>;
  rewrap(principal: Principal, body: WrappedBody, requestId?: RequestId): MaybePromise<Rewrapped>;
}

export function createApi(orchestrator: Orchestrator): Api {
  return {
    create: (principal, body, requestId) =>
      then(orchestrator.createKey(principal, createRequest(body), requestId), showCreated),

    createBatch: (principal, body, requestId) =>
      then(orchestrator.createKeys(principal, createRequest(body), body.count, requestId), (made) =>
        then(mapInTurns(made, showCreated), (keys) => ({ keys })),
      ),

    decrypt: (principal, body, requestId) =>
      then(
        orchestrator.decryptKey(principal, { wrapped: wrappedBytes(body), context: body.context }, requestId),
        showDecrypted,
      ),

    decryptBatch(principal, body, requestId) {
      // A text that is no base64url is that item's own error, like a malformed blob.
      const requests = body.items.map((item) => ({
        wrapped: fromBase64url(item.wrapped) ?? new Uint8Array(0),
        context: item.context,
      }));
      return then(decryptInSlices(orchestrator, principal, requests, requestId), (opened) =>
        then(
          mapInTurns(opened, (result) =>
            result instanceof CryptoEdgeError ? { error: problemOf(result) } : showDecrypted(result),
          ),
          (results) => ({ results }),
        ),
      );
    },

    rewrap: (principal, body, requestId) =>
      then(
        orchestrator.rewrapKey(principal, { wrapped: wrappedBytes(body), context: body.context }, requestId),
        (key) => ({
          ...key,
          wrapped: toBase64url(key.wrapped),
        }),
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

function showDecrypted(key: DecryptedKey): Decrypted {
  return { plaintext: showOnce(key.plaintext), tenant: key.tenant, service: key.service, version: key.version };
}

function showOnce(dataKey: Uint8Array): string {
  const text = toBase64url(dataKey);
  wipe(dataKey);
  return text;
}
