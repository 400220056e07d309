/** `v2.KeyManagementService` over the edge's operations: what each call answers, without gRPC. */
import { OperationError } from "../../../base/errors.ts";
import { wipe } from "../../../base/wipe.ts";
import { beginsAsBlob, isBlobOf, versionOf } from "../../cipher/blob-header.ts";
import type { Caller, MaybePromise, Operations, ServiceKeyName } from "../../operations/operations.ts";
import { after } from "../after.ts";
import {
  MalformedMessage,
  readDecryptRequest,
  readEncryptRequest,
  readStatusRequest,
  writeDecryptResponse,
  writeEncryptResponse,
  writeStatusResponse,
} from "./messages.ts";

/** What calls are made as: a caller, but for the request's own name. */
export type CallerOf = (uid: string) => Caller;

/** From a request's message to the answer's. @throws {OperationError} */
export type Method = (message: Uint8Array, callerOf: CallerOf) => MaybePromise<Buffer>;

export interface KeyManagementService {
  readonly Status: Method;
  readonly Encrypt: Method;
  readonly Decrypt: Method;
}

export function createService(operations: Operations, key: ServiceKeyName): KeyManagementService {
  const { tenant, service } = key;
  /**
   * Stored in clear in etcd. The API server throws an Encrypt away whose key id is not that of Status: both are of the active version
   * of the lease that is held.
   */
  const keyIdOf = (version: number): string => `${tenant}/${service}/${version}`;

  return {
    Status(message, callerOf) {
      read(readStatusRequest, message);
      const described = operations.describeKey(callerOf(""), key);
      return after(described, ({ version }) => writeStatusResponse(keyIdOf(version)));
    },
    Encrypt(message, callerOf) {
      const { plaintext, uid } = read(readEncryptRequest, message);
      const made = operations.encryptValue(callerOf(uid), { tenant, service, value: plaintext });
      return after(made, ({ wrapped, version }) => writeEncryptResponse(wrapped, keyIdOf(version)));
    },
    Decrypt(message, callerOf) {
      const { ciphertext, uid, keyId } = read(readDecryptRequest, message);
      if (beginsAsBlob(ciphertext)) {
        if (!isBlobOf(ciphertext, key)) throw refused("the ciphertext is of another service key than this socket's");
        if (keyId !== "" && keyId !== keyIdOf(versionOf(ciphertext)))
          throw refused("the key id is not the ciphertext's");
      }
      return after(operations.decryptValue(callerOf(uid), { wrapped: ciphertext }), ({ plaintext }) => {
        const answer = writeDecryptResponse(plaintext);
        wipe(plaintext);
        return answer;
      });
    },
  };
}

function read<T>(reader: (message: Uint8Array) => T, message: Uint8Array): T {
  try {
    return reader(message);
  } catch (error) {
    if (error instanceof MalformedMessage) throw refused(`the message is malformed: ${error.message}`);
    throw error;
  }
}

function refused(sentence: string): OperationError {
  return new OperationError("invalid_request", sentence);
}
