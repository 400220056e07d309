/** Create and Register: new objects, wrapped for the client to keep (KMIP 1.4, sections 4.1 and 4.3). */
import { randomBytes } from "node:crypto";
import { wipe } from "../../../base/wipe.ts";
import type { Caller, ServiceKeyName } from "../../operations/operations.ts";
import { type RequestedAttributes, readRequestedAttributes } from "./attributes.ts";
import { ALGORITHM, KEY_FORMAT, OBJECT_TYPE, RESULT_REASON, TAG, USAGE } from "./enumerations.ts";
import { featureNotSupported, invalidField, KmipFailure } from "./failure.ts";
import { Fields } from "./fields.ts";
import type { Batch, HandlerParts, WritePayload } from "./handler.ts";
import { contextOf, type ManagedObject, writeIdentifier } from "./identifier.ts";
import { readKeyBlock } from "./key-block.ts";
import { type Item, TYPE, unsignedOf } from "./ttlv.ts";

const ENCRYPT_AND_DECRYPT = USAGE.encrypt | USAGE.decrypt;

export async function create(payload: Fields, batch: Batch, parts: HandlerParts): Promise<WritePayload> {
  const objectType = unsignedOf(payload.required(TAG.objectType, TYPE.enumeration));
  if (objectType !== OBJECT_TYPE.symmetricKey) throw featureNotSupported("Create makes symmetric keys only.");
  const attributes = readRequestedAttributes(payload, batch.version, parts.nowSeconds());
  payload.optional(TAG.protectionStorageMasks, TYPE.structure);
  payload.end();
  const length = (attributes.length ?? 0) / 8;
  if (attributes.algorithm !== ALGORITHM.aes || ![16, 24, 32].includes(length)) {
    throw invalidField(
      "Create makes AES keys: ask for the Cryptographic Algorithm AES and a length of 128, 192 or 256.",
    );
  }
  const object: ManagedObject = {
    objectType,
    algorithm: ALGORITHM.aes,
    usageMask: attributes.usageMask ?? ENCRYPT_AND_DECRYPT,
    keyFormat: KEY_FORMAT.raw,
  };
  const wrapped = await makeKey(length, object, batch.caller, parts);
  const identifier = writeIdentifier(object, wrapped);
  batch.placeholder = identifier;
  return (writer) => {
    writer.enumeration(TAG.objectType, objectType);
    writer.text(TAG.uniqueIdentifier, identifier);
  };
}

async function makeKey(
  length: number,
  object: ManagedObject,
  caller: Caller,
  parts: HandlerParts,
): Promise<Uint8Array> {
  const request = { ...placeOf(caller, parts), context: contextOf(object) };
  if (length === 16 || length === 32) return (await parts.operations.createKey(caller, { ...request, length })).wrapped;
  const value = randomBytes(length);
  try {
    return (await parts.operations.encryptValue(caller, { ...request, value })).wrapped;
  } finally {
    wipe(value);
  }
}

export async function register(payload: Fields, batch: Batch, parts: HandlerParts): Promise<WritePayload> {
  const objectType = unsignedOf(payload.required(TAG.objectType, TYPE.enumeration));
  if (objectType !== OBJECT_TYPE.symmetricKey && objectType !== OBJECT_TYPE.secretData) {
    throw featureNotSupported("Register takes symmetric keys and secret data only.");
  }
  const attributes = readRequestedAttributes(payload, batch.version, parts.nowSeconds());
  const isKey = objectType === OBJECT_TYPE.symmetricKey;
  const item = payload.required(isKey ? TAG.symmetricKey : TAG.secretData, TYPE.structure);
  payload.optional(TAG.protectionStorageMasks, TYPE.structure);
  payload.end();
  const { object, material } = isKey ? readSymmetricKey(item, attributes) : readSecretData(item, attributes);
  const { wrapped } = await parts.operations.encryptValue(batch.caller, {
    ...placeOf(batch.caller, parts),
    value: material,
    context: contextOf(object),
  });
  const identifier = writeIdentifier(object, wrapped);
  batch.placeholder = identifier;
  return (writer) => writer.text(TAG.uniqueIdentifier, identifier);
}

interface Registered {
  readonly object: ManagedObject;
  readonly material: Uint8Array;
}

function readSymmetricKey(item: Item, attributes: RequestedAttributes): Registered {
  const fields = new Fields(item);
  const {
    keyFormat,
    material,
    algorithm = attributes.algorithm,
  } = readKeyBlock(fields.required(TAG.keyBlock, TYPE.structure));
  fields.end();
  if (algorithm === undefined) throw invalidField("The Cryptographic Algorithm of the key is missing.");
  checkAgainst(attributes, algorithm, material);
  const usageMask = attributes.usageMask ?? ENCRYPT_AND_DECRYPT;
  return { object: { objectType: OBJECT_TYPE.symmetricKey, algorithm, usageMask, keyFormat }, material };
}

function readSecretData(item: Item, attributes: RequestedAttributes): Registered {
  const fields = new Fields(item);
  const secretDataType = unsignedOf(fields.required(TAG.secretDataType, TYPE.enumeration));
  const { keyFormat, material } = readKeyBlock(fields.required(TAG.keyBlock, TYPE.structure));
  fields.end();
  checkAgainst(attributes, undefined, material);
  const usageMask = attributes.usageMask ?? 0;
  return { object: { objectType: OBJECT_TYPE.secretData, secretDataType, usageMask, keyFormat }, material };
}

function checkAgainst({ algorithm, length }: RequestedAttributes, own: number | undefined, material: Uint8Array): void {
  if (length !== undefined && length !== material.length * 8) {
    throw invalidField("The Cryptographic Length is not that of the Key Material, in bits.");
  }
  if (own !== undefined && algorithm !== undefined && algorithm !== own) {
    throw invalidField("The Cryptographic Algorithm in the attributes is not that in the Key Block.");
  }
}

/** @throws {KmipFailure} `permissionDenied` */
function placeOf(caller: Caller, { serviceOf }: HandlerParts): ServiceKeyName {
  const place = serviceOf(caller);
  if (place !== undefined) return place;
  throw new KmipFailure(
    RESULT_REASON.permissionDenied,
    "No tenant and service are configured for this caller. Ask whoever runs the edge to add them to the door kmip.",
  );
}
