/** The operations of AWS KMS that this door has, each over the edge's own: from a request's members to the text of an answer. */
import { randomFillSync } from "node:crypto";
import { toBase64 } from "../../../base/base64.ts";
import { OperationError } from "../../../base/errors.ts";
import { allocateSecret, wipe } from "../../../base/wipe.ts";
import { beginsAsBlob, isBlobOf } from "../../cipher/blob-header.ts";
import type { EncryptionContext } from "../../cipher/context.ts";
import type { Caller, MaybePromise, Operations, ServiceKeyName } from "../../operations/operations.ts";
import { after, usingSecrets } from "../after.ts";
import type { JsonObject } from "../json-body.ts";
import { KmsError } from "./errors.ts";
import type { KeyNames, KmsKey } from "./key-names.ts";
import {
  bytesOf,
  contextOf,
  dataKeyLengthOf,
  keyIdOf,
  optionalKeyIdOf,
  refuseUnserved,
  sameContext,
} from "./members.ts";

/** One request: its members, and what the operations need besides. */
export interface KmsCall {
  readonly operations: Operations;
  readonly names: KeyNames;
  readonly caller: Caller;
  readonly body: JsonObject;
  /** Of the request's signature, else of the configuration: for ARNs, where the request's key names none. */
  readonly region: () => string;
  readonly account: string;
}

/** Answers the text of the body. @throws {OperationError} */
export type KmsOperation = (call: KmsCall) => MaybePromise<string>;

const PLAINTEXT_LENGTH_MAX = 4_096;
const CIPHERTEXT_LENGTH_MAX = 6_144;
const ALGORITHM = "SYMMETRIC_DEFAULT";

// Base64, names and regions hold nothing that JSON escapes.

const generateDataKey: KmsOperation = (call) => makeDataKey(call, true);

const generateDataKeyWithoutPlaintext: KmsOperation = (call) => makeDataKey(call, false);

function makeDataKey(call: KmsCall, plaintext: boolean): MaybePromise<string> {
  const { operations, caller, body } = call;
  refuseUnserved(body);
  const key = call.names.resolve(keyIdOf(body));
  const length = dataKeyLengthOf(body);
  const context = contextOf(body);
  const write = (wrapped: Uint8Array, dataKey: Uint8Array | undefined): string => {
    const made = `{"CiphertextBlob":"${toBase64(wrapped)}","KeyId":"${arn(call, key)}"`;
    if (dataKey === undefined) return `${made}}`;
    const answer = `${made},"Plaintext":"${toBase64(dataKey)}"}`;
    wipe(dataKey);
    return answer;
  };
  if (length === 16 || length === 32 || length === 64) {
    const request = { tenant: key.tenant, service: key.service, context, length, plaintext } as const;
    return after(operations.createKey(caller, request), (made) => write(made.wrapped, made.plaintext));
  }
  // No data key of ours has this length: random bytes, kept as a value.
  const value = randomFillSync(allocateSecret(length));
  const request = { tenant: key.tenant, service: key.service, context, value };
  return usingSecrets([value], () =>
    after(operations.encryptValue(caller, request), ({ wrapped }) => write(wrapped, plaintext ? value : undefined)),
  );
}

const encrypt: KmsOperation = (call) => {
  const { body } = call;
  refuseUnserved(body);
  const key = call.names.resolve(keyIdOf(body));
  const context = contextOf(body);
  const value = bytesOf(body, "Plaintext", PLAINTEXT_LENGTH_MAX);
  return after(
    encryptAndWipe(call, value, key, context),
    (wrapped) =>
      `{"CiphertextBlob":"${toBase64(wrapped)}","KeyId":"${arn(call, key)}","EncryptionAlgorithm":"${ALGORITHM}"}`,
  );
};

const decrypt: KmsOperation = (call) => {
  const { operations, caller, body } = call;
  refuseUnserved(body);
  const context = contextOf(body);
  const wrapped = bytesOf(body, "CiphertextBlob", CIPHERTEXT_LENGTH_MAX);
  const key = givenKey(call, "KeyId", wrapped);
  if (key instanceof Promise) return key;
  return after(operations.open(caller, { wrapped, context }), (opened) => {
    const answer = `{"KeyId":"${arn(call, key ?? opened)}","Plaintext":"${toBase64(opened.plaintext)}","EncryptionAlgorithm":"${ALGORITHM}"}`;
    wipe(opened.plaintext);
    return answer;
  });
};

const reEncrypt: KmsOperation = (call) => {
  const { operations, caller, body } = call;
  refuseUnserved(body);
  const destination = call.names.resolve(keyIdOf(body, "DestinationKeyId"));
  const context = contextOf(body, "SourceEncryptionContext");
  const newContext = contextOf(body, "DestinationEncryptionContext");
  const wrapped = bytesOf(body, "CiphertextBlob", CIPHERTEXT_LENGTH_MAX);
  const source = givenKey(call, "SourceKeyId", wrapped);
  if (source instanceof Promise) return source;
  const write = (made: Uint8Array, from: ServiceKeyName): string =>
    `{"CiphertextBlob":"${toBase64(made)}","SourceKeyId":"${arn(call, from)}","KeyId":"${arn(call, destination)}",` +
    `"SourceEncryptionAlgorithm":"${ALGORITHM}","DestinationEncryptionAlgorithm":"${ALGORITHM}"}`;
  if (!beginsAsBlob(wrapped) || (isBlobOf(wrapped, destination) && sameContext(context, newContext))) {
    return after(operations.rewrap(caller, { wrapped, context }), (made) => write(made.wrapped, source ?? destination));
  }
  // Another key or another context: opened and encrypted here, which takes both rights.
  return after(operations.open(caller, { wrapped, context }), (opened) =>
    after(encryptAndWipe(call, opened.plaintext, destination, newContext), (made) => write(made, source ?? opened)),
  );
};

function encryptAndWipe(
  { operations, caller }: KmsCall,
  value: Uint8Array,
  { tenant, service }: ServiceKeyName,
  context: EncryptionContext | undefined,
): MaybePromise<Uint8Array> {
  return usingSecrets([value], () =>
    after(operations.encryptValue(caller, { tenant, service, context, value }), ({ wrapped }) => wrapped),
  );
}

const describeKey: KmsOperation = (call) => {
  const { operations, caller, body } = call;
  refuseUnserved(body);
  const key = call.names.resolve(keyIdOf(body));
  const write = (enabled: boolean): string => {
    const keyArn = arn(call, key);
    return JSON.stringify({
      KeyMetadata: {
        AWSAccountId: call.account,
        KeyId: keyArn.slice(keyArn.indexOf(":key/") + ":key/".length),
        Arn: keyArn,
        Enabled: enabled,
        Description: "",
        KeyUsage: "ENCRYPT_DECRYPT",
        KeyState: enabled ? "Enabled" : "Disabled",
        Origin: "EXTERNAL",
        KeyManager: "CUSTOMER",
        CustomerMasterKeySpec: ALGORITHM,
        KeySpec: ALGORITHM,
        EncryptionAlgorithms: [ALGORITHM],
        MultiRegion: false,
      },
    });
  };
  const revoked = (error: unknown): string => {
    if (error instanceof OperationError && error.code === "key_revoked") return write(false);
    throw error;
  };
  try {
    const described = operations.describeKey(caller, { tenant: key.tenant, service: key.service });
    return described instanceof Promise ? described.then(() => write(true), revoked) : write(true);
  } catch (error) {
    return revoked(error);
  }
};

/**
 * The key that the request names beside the ciphertext. Of another key than the blob's, the caller learns so only if that other key
 * is one that it may use.
 */
function givenKey(call: KmsCall, member: string, wrapped: Uint8Array): KmsKey | undefined | Promise<never> {
  const keyId = optionalKeyIdOf(call.body, member);
  if (keyId === undefined) return undefined;
  const key = call.names.resolve(keyId);
  // What is no blob at all is refused when it is opened.
  if (!beginsAsBlob(wrapped) || isBlobOf(wrapped, key)) return key;
  const incorrect = (): never => {
    throw new KmsError("IncorrectKeyException", `The ciphertext was not made under the key that ${member} names.`);
  };
  const described = call.operations.describeKey(call.caller, { tenant: key.tenant, service: key.service });
  return described instanceof Promise ? described.then(incorrect) : incorrect();
}

function arn(call: KmsCall, key: ServiceKeyName & Partial<Pick<KmsKey, "region" | "partition">>): string {
  return call.names.arnOf(key, key.region ?? call.region(), key.partition);
}

const PREFIX = "TrentService.";

const SERVED: ReadonlyMap<string, KmsOperation> = new Map([
  [`${PREFIX}GenerateDataKey`, generateDataKey],
  [`${PREFIX}GenerateDataKeyWithoutPlaintext`, generateDataKeyWithoutPlaintext],
  [`${PREFIX}Encrypt`, encrypt],
  [`${PREFIX}Decrypt`, decrypt],
  [`${PREFIX}ReEncrypt`, reEncrypt],
  [`${PREFIX}DescribeKey`, describeKey],
]);

/** AWS KMS has them, this door doesn't: refused in a way that clients know and don't repeat. */
const UNSERVED = new Set(
  (
    "CancelKeyDeletion ConnectCustomKeyStore CreateAlias CreateCustomKeyStore CreateGrant CreateKey DeleteAlias DeleteCustomKeyStore " +
    "DeleteImportedKeyMaterial DeriveSharedSecret DescribeCustomKeyStores DisableKey DisableKeyRotation DisconnectCustomKeyStore EnableKey " +
    "EnableKeyRotation GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext GenerateMac GenerateRandom GetKeyPolicy GetKeyRotationStatus " +
    "GetParametersForImport GetPublicKey ImportKeyMaterial ListAliases ListGrants ListKeyPolicies ListKeyRotations ListKeys ListResourceTags " +
    "ListRetirableGrants PutKeyPolicy ReplicateKey RetireGrant RevokeGrant RotateKeyOnDemand ScheduleKeyDeletion Sign TagResource " +
    "UntagResource UpdateAlias UpdateCustomKeyStore UpdateKeyDescription UpdatePrimaryRegion Verify VerifyMac"
  ).split(" "),
);

/** The operation that `X-Amz-Target` names. @throws {KmsError} */
export function operationOf(target: string | undefined): KmsOperation {
  const operation = target === undefined ? undefined : SERVED.get(target);
  if (operation !== undefined) return operation;
  const name = target?.startsWith(PREFIX) ? target.slice(PREFIX.length) : "";
  if (UNSERVED.has(name)) {
    throw new KmsError(
      "UnsupportedOperationException",
      `This edge keeps no state and has no ${name}: see docs/door-aws-kms.md.`,
    );
  }
  throw new KmsError("UnknownOperationException", "X-Amz-Target names no operation of AWS KMS.");
}
