/** The key block of objects that come and go (KMIP 1.4, section 2.1.3). */
import { KEY_FORMAT, OBJECT_TYPE, RESULT_REASON, TAG } from "./enumerations.ts";
import { featureNotSupported, invalidField, KmipFailure } from "./failure.ts";
import { Fields } from "./fields.ts";
import type { ManagedObject } from "./identifier.ts";
import { type Item, integerOf, TYPE, unsignedOf } from "./ttlv.ts";
import type { TtlvWriter } from "./ttlv-writer.ts";

export interface KeyBlock {
  readonly keyFormat: number;
  /** A view of the message. */
  readonly material: Uint8Array;
  readonly algorithm: number | undefined;
}

/** Longest value of an operation (blob-format.md, suite 2). */
const MATERIAL_LENGTH_MAX = 65_536;

/** @throws {KmipFailure} */
export function readKeyBlock(item: Item): KeyBlock {
  const block = new Fields(item);
  const format = unsignedOf(block.required(TAG.keyFormatType, TYPE.enumeration));
  if (block.optional(TAG.keyCompressionType, TYPE.enumeration) !== undefined) {
    throw featureNotSupported("Compressed keys are not taken. Leave the Key Compression Type away.");
  }
  const value = block.required(TAG.keyValue, TYPE.structure, TYPE.byteString);
  const algorithm = block.optional(TAG.cryptographicAlgorithm, TYPE.enumeration);
  const length = block.optional(TAG.cryptographicLength, TYPE.integer);
  if (value.type === TYPE.byteString || block.optional(TAG.keyWrappingData, TYPE.structure) !== undefined) {
    throw featureNotSupported("Wrapped keys are not taken: the edge wraps them itself. Register the key as it is.");
  }
  block.end();
  const material = readMaterial(value, format);
  if (material.length < 1 || material.length > MATERIAL_LENGTH_MAX) {
    throw invalidField(`The Key Material must have 1 to ${MATERIAL_LENGTH_MAX} bytes.`);
  }
  if (length !== undefined && integerOf(length) !== material.length * 8) {
    throw invalidField("The Cryptographic Length is not that of the Key Material, in bits.");
  }
  return {
    keyFormat: format === KEY_FORMAT.opaque ? KEY_FORMAT.opaque : KEY_FORMAT.raw,
    material,
    algorithm: algorithm && unsignedOf(algorithm),
  };
}

function readMaterial(keyValue: Item, format: number): Uint8Array {
  const fields = new Fields(keyValue);
  let material: Item;
  if (format === KEY_FORMAT.transparentSymmetricKey) {
    const transparent = new Fields(fields.required(TAG.keyMaterial, TYPE.structure));
    material = transparent.required(TAG.key, TYPE.byteString);
    transparent.end();
  } else if (format === KEY_FORMAT.raw || format === KEY_FORMAT.opaque) {
    material = fields.required(TAG.keyMaterial, TYPE.byteString);
  } else {
    throw new KmipFailure(
      RESULT_REASON.keyFormatTypeNotSupported,
      "Keys are taken in the formats Raw, Opaque and Transparent Symmetric Key.",
    );
  }
  // Attributes that travel with a key say nothing that is kept.
  fields.repeated(TAG.attribute, TYPE.structure);
  fields.optional(TAG.attributes, TYPE.structure);
  fields.end();
  return material.value;
}

/** Writes the object with its key material, which is copied into the writer. */
export function writeObject(
  writer: TtlvWriter,
  object: ManagedObject,
  material: Uint8Array,
  keyFormat = object.keyFormat,
): void {
  const keyBlock = (): void =>
    writer.structure(TAG.keyBlock, () => {
      writer.enumeration(TAG.keyFormatType, keyFormat);
      writer.structure(TAG.keyValue, () => writer.byteString(TAG.keyMaterial, material));
      if (object.objectType !== OBJECT_TYPE.symmetricKey) return;
      writer.enumeration(TAG.cryptographicAlgorithm, object.algorithm);
      writer.integer(TAG.cryptographicLength, material.length * 8);
    });
  if (object.objectType === OBJECT_TYPE.symmetricKey) writer.structure(TAG.symmetricKey, keyBlock);
  else {
    writer.structure(TAG.secretData, () => {
      writer.enumeration(TAG.secretDataType, object.secretDataType);
      keyBlock();
    });
  }
}
