/** What is done with an object that its identifier holds: Get, its attributes, Activate, Encrypt, Decrypt (KMIP 1.4, section 4). */
import { OperationError } from "../../../base/errors.ts";
import { wipe } from "../../../base/wipe.ts";
import { decrypt, encrypt, readMode, refuseParts } from "./aes.ts";
import {
  attributeNames,
  checkKeyFormat,
  lengthInBits,
  readAttributeNames,
  writeAttributeNames,
  writeAttributes,
} from "./attributes.ts";
import { ALGORITHM, IDENTIFIER_ID_PLACEHOLDER, OBJECT_TYPE, RESULT_REASON, STATE, TAG, USAGE } from "./enumerations.ts";
import { featureNotSupported, invalidField, KmipFailure } from "./failure.ts";
import type { Fields } from "./fields.ts";
import type { Batch, HandlerParts, WritePayload } from "./handler.ts";
import { contextOf, type ManagedObject, readIdentifier } from "./identifier.ts";
import { writeObject } from "./key-block.ts";
import { TYPE, textOf, unsignedOf } from "./ttlv.ts";
import { isVersion2 } from "./version.ts";

export interface NamedObject {
  readonly identifier: string;
  readonly object: ManagedObject;
  readonly blob: Uint8Array;
}

/** The object that the next field names, or the last one of the batch where none does. @throws {KmipFailure} */
export function readObject(payload: Fields, { placeholder, version }: Batch): NamedObject {
  const item = isVersion2(version)
    ? payload.optional(TAG.uniqueIdentifier, TYPE.textString, TYPE.enumeration)
    : payload.optional(TAG.uniqueIdentifier, TYPE.textString);
  if (item?.type === TYPE.enumeration && unsignedOf(item) !== IDENTIFIER_ID_PLACEHOLDER) {
    throw featureNotSupported("Of the enumerated identifiers only ID Placeholder is understood.");
  }
  const identifier = item?.type === TYPE.textString ? textOf(item) : placeholder;
  if (identifier === undefined) {
    throw new KmipFailure(
      RESULT_REASON.missingData,
      "The Unique Identifier is missing, and no item before this one in the batch has made an object.",
    );
  }
  return { identifier, ...readIdentifier(identifier) };
}

/** The object's bytes, which the caller wipes. @throws {OperationError} */
export async function open(
  { object, blob }: NamedObject,
  { caller }: Batch,
  { operations }: HandlerParts,
): Promise<Uint8Array> {
  return (await operations.open(caller, { wrapped: blob, context: contextOf(object) })).plaintext;
}

/**
 * Whether it opens says what its state is: databases poll this attribute, and stop when it is not Active. Temporary trouble is no state: the
 * error goes on.
 */
async function stateOf(named: NamedObject, batch: Batch, parts: HandlerParts): Promise<number> {
  try {
    wipe(await open(named, batch, parts));
    return STATE.active;
  } catch (error) {
    if (error instanceof OperationError && error.code === "key_revoked") return STATE.compromised;
    throw error;
  }
}

export async function get(payload: Fields, batch: Batch, parts: HandlerParts): Promise<WritePayload> {
  const named = readObject(payload, batch);
  const asked = payload.optional(TAG.keyFormatType, TYPE.enumeration);
  const keyFormat = asked && unsignedOf(asked);
  const wrap = payload.optional(TAG.keyWrapType, TYPE.enumeration);
  const compression = payload.optional(TAG.keyCompressionType, TYPE.enumeration);
  const wrapping = payload.optional(TAG.keyWrappingSpecification, TYPE.structure);
  payload.end();
  // Key Wrap Type: 1, not wrapped, and 2, as registered, are both what is given.
  if (wrapping !== undefined || compression !== undefined || (wrap !== undefined && unsignedOf(wrap) > 2)) {
    throw featureNotSupported("Objects are given unwrapped and uncompressed only, over this protected connection.");
  }
  checkKeyFormat(keyFormat, named.object);
  const material = await open(named, batch, parts);
  return (writer) => {
    writer.enumeration(TAG.objectType, named.object.objectType);
    writer.text(TAG.uniqueIdentifier, named.identifier);
    writeObject(writer, named.object, material, keyFormat);
    wipe(material);
  };
}

export async function getAttributes(payload: Fields, batch: Batch, parts: HandlerParts): Promise<WritePayload> {
  const named = readObject(payload, batch);
  const { identifier, object, blob } = named;
  const names = readAttributeNames(payload, batch.version, object);
  payload.end();
  const lengthBits = lengthInBits(blob);
  const state = await stateOf(named, batch, parts);
  return (writer) => {
    writer.text(TAG.uniqueIdentifier, identifier);
    writeAttributes(writer, batch.version, names, { identifier, object, lengthBits, state });
  };
}

export async function getAttributeList(payload: Fields, batch: Batch, parts: HandlerParts): Promise<WritePayload> {
  const named = readObject(payload, batch);
  payload.end();
  await stateOf(named, batch, parts);
  return (writer) => {
    writer.text(TAG.uniqueIdentifier, named.identifier);
    writeAttributeNames(writer, batch.version, attributeNames(named.object));
  };
}

/** Objects are active from the start; so this says whether the object is good, and changes nothing. */
export async function activate(payload: Fields, batch: Batch, parts: HandlerParts): Promise<WritePayload> {
  const named = readObject(payload, batch);
  payload.end();
  wipe(await open(named, batch, parts));
  return (writer) => writer.text(TAG.uniqueIdentifier, named.identifier);
}

export async function encryptData(payload: Fields, batch: Batch, parts: HandlerParts): Promise<WritePayload> {
  const named = readAesKey(payload, batch, USAGE.encrypt);
  const mode = readMode(payload.optional(TAG.cryptographicParameters, TYPE.structure));
  const data = payload.required(TAG.data, TYPE.byteString).value;
  const iv = payload.optional(TAG.ivCounterNonce, TYPE.byteString)?.value;
  refuseParts(payload);
  const additionalData = payload.optional(TAG.authenticatedEncryptionAdditionalData, TYPE.byteString)?.value;
  payload.end();
  const key = await open(named, batch, parts);
  try {
    const encrypted = encrypt({ mode, key, data, additionalData }, iv);
    return (writer) => {
      writer.text(TAG.uniqueIdentifier, named.identifier);
      writer.byteString(TAG.data, encrypted.data);
      if (iv === undefined) writer.byteString(TAG.ivCounterNonce, encrypted.iv);
      if (encrypted.tag !== undefined) writer.byteString(TAG.authenticatedEncryptionTag, encrypted.tag);
    };
  } finally {
    wipe(key);
  }
}

export async function decryptData(payload: Fields, batch: Batch, parts: HandlerParts): Promise<WritePayload> {
  const named = readAesKey(payload, batch, USAGE.decrypt);
  const mode = readMode(payload.optional(TAG.cryptographicParameters, TYPE.structure));
  const data = payload.required(TAG.data, TYPE.byteString).value;
  const iv = payload.optional(TAG.ivCounterNonce, TYPE.byteString)?.value;
  refuseParts(payload);
  const additionalData = payload.optional(TAG.authenticatedEncryptionAdditionalData, TYPE.byteString)?.value;
  const tag = payload.optional(TAG.authenticatedEncryptionTag, TYPE.byteString)?.value;
  payload.end();
  const key = await open(named, batch, parts);
  try {
    const decrypted = decrypt({ mode, key, data, additionalData }, iv, tag);
    return (writer) => {
      writer.text(TAG.uniqueIdentifier, named.identifier);
      writer.byteString(TAG.data, decrypted);
      wipe(decrypted);
    };
  } finally {
    wipe(key);
  }
}

/** The usage mask is bound to the object, so what it does not allow is not done. @throws {KmipFailure} */
function readAesKey(payload: Fields, batch: Batch, usage: number): NamedObject {
  const named = readObject(payload, batch);
  const { object } = named;
  if (object.objectType !== OBJECT_TYPE.symmetricKey || object.algorithm !== ALGORITHM.aes) {
    throw invalidField("The object is not an AES key.");
  }
  if ((object.usageMask & usage) === 0) {
    throw new KmipFailure(
      RESULT_REASON.permissionDenied,
      "The Cryptographic Usage Mask of the object does not allow this. Make a key with Encrypt and Decrypt in its mask.",
    );
  }
  return named;
}
