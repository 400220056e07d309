/** Attributes: those that are asked for with a new object, and those that an object has (KMIP 1.4, section 3; KMIP 2.1, section 4). */
import { parseBlob } from "../../cipher/blob.ts";
import { KEY_FORMAT, OBJECT_TYPE, RESULT_REASON, TAG } from "./enumerations.ts";
import { featureNotSupported, invalidField, KmipFailure } from "./failure.ts";
import { Fields } from "./fields.ts";
import type { ManagedObject } from "./identifier.ts";
import { booleanOf, type Item, integerOf, secondsOf, TYPE, textOf, unsignedOf } from "./ttlv.ts";
import type { TtlvWriter } from "./ttlv-writer.ts";
import { isVersion2, type Version } from "./version.ts";

/** What a new object shall be, as far as this door keeps it. */
export interface RequestedAttributes {
  readonly algorithm: number | undefined;
  /** In bits. */
  readonly length: number | undefined;
  readonly usageMask: number | undefined;
}

/** Names in versions 1, tags in versions 2, of the attributes that this door understands. Others are not kept. */
const TAG_OF_NAME: Readonly<Record<string, number>> = {
  "Activation Date": TAG.activationDate,
  "Cryptographic Algorithm": TAG.cryptographicAlgorithm,
  "Cryptographic Length": TAG.cryptographicLength,
  "Cryptographic Usage Mask": TAG.cryptographicUsageMask,
  "Deactivation Date": TAG.deactivationDate,
  "Object Type": TAG.objectType,
  "Process Start Date": TAG.processStartDate,
  "Protect Stop Date": TAG.protectStopDate,
  "Usage Limits": TAG.usageLimits,
  Extractable: TAG.extractable,
  Sensitive: TAG.sensitive,
  State: TAG.state,
  "Unique Identifier": TAG.uniqueIdentifier,
};

/** All that an object has: attributes of KMIP 1.0, so that no version gets one that it does not know. */
const OBJECT_ATTRIBUTES = [
  "Unique Identifier",
  "Object Type",
  "Cryptographic Algorithm",
  "Cryptographic Length",
  "Cryptographic Usage Mask",
  "State",
] as const;

/**
 * Reads the template (versions 1) or attributes (versions 2) of Create and Register. Attributes that would limit an object's use in ways
 * that nothing here can hold are refused; names, groups and the like are left to the client.
 *
 * @throws {KmipFailure}
 */
export function readRequestedAttributes(payload: Fields, version: Version, nowSeconds: number): RequestedAttributes {
  const found = new Map<number, Item>();
  const add = (tag: number, value: Item): void => {
    if (found.has(tag)) throw invalidField("An attribute that has one value is given twice.");
    found.set(tag, value);
  };
  if (isVersion2(version)) {
    const known = new Set(Object.values(TAG_OF_NAME));
    for (const item of new Fields(payload.required(TAG.attributes, TYPE.structure)).rest()) {
      if (known.has(item.tag)) add(item.tag, item);
    }
  } else {
    const template = new Fields(payload.required(TAG.templateAttribute, TYPE.structure));
    for (const attribute of template.repeated(TAG.attribute, TYPE.structure)) {
      const fields = new Fields(attribute);
      const name = textOf(fields.required(TAG.attributeName, TYPE.textString));
      fields.optional(TAG.attributeIndex, TYPE.integer);
      const [value, ...more] = fields.rest();
      if (value?.tag !== TAG.attributeValue || more.length > 0) throw invalidField("An attribute has not one value.");
      const tag = Object.hasOwn(TAG_OF_NAME, name) ? TAG_OF_NAME[name] : undefined;
      if (tag !== undefined) add(tag, value);
    }
    template.end();
  }
  refuseLimits(found, nowSeconds);
  return {
    algorithm: numberOf(found.get(TAG.cryptographicAlgorithm), TYPE.enumeration),
    length: numberOf(found.get(TAG.cryptographicLength), TYPE.integer),
    usageMask: numberOf(found.get(TAG.cryptographicUsageMask), TYPE.integer),
  };
}

function numberOf(item: Item | undefined, type: typeof TYPE.integer | typeof TYPE.enumeration): number | undefined {
  if (item === undefined) return undefined;
  if (item.type !== type) throw invalidField("An attribute's value has the wrong type.");
  const value = type === TYPE.integer ? integerOf(item) : unsignedOf(item);
  if (value < 0) throw invalidField("An attribute's value is negative.");
  return value;
}

/** Each would promise that an object can't be used at some time or in some way; it could be, with the identifier alone. */
function refuseLimits(found: ReadonlyMap<number, Item>, nowSeconds: number): void {
  const activation = found.get(TAG.activationDate);
  const later = activation !== undefined && (activation.type !== TYPE.dateTime || secondsOf(activation) > nowSeconds);
  const flag = (tag: number): boolean | undefined => {
    const item = found.get(tag);
    if (item === undefined) return undefined;
    if (item.type !== TYPE.boolean) throw invalidField("An attribute's value has the wrong type.");
    return booleanOf(item);
  };
  if (
    later ||
    [TAG.deactivationDate, TAG.processStartDate, TAG.protectStopDate, TAG.usageLimits].some((tag) => found.has(tag)) ||
    flag(TAG.sensitive) === true ||
    flag(TAG.extractable) === false
  ) {
    throw featureNotSupported(
      "This edge keeps no objects, so it can't hold one to dates or usage limits, nor keep it from being got. Leave these attributes away.",
    );
  }
}

/** How many bits the object has, as its blob shows it. @throws {OperationError} `invalid_blob` */
export function lengthInBits(blob: Uint8Array): number {
  const { ciphertextOffset, tagOffset } = parseBlob(blob);
  return (tagOffset - ciphertextOffset) * 8;
}

export interface AttributeSource {
  readonly identifier: string;
  readonly object: ManagedObject;
  readonly lengthBits: number;
  readonly state: number;
}

type AttributeName = (typeof OBJECT_ATTRIBUTES)[number];

const isKept = (name: string, object: ManagedObject): name is AttributeName =>
  OBJECT_ATTRIBUTES.some((known) => known === name) &&
  (name !== "Cryptographic Algorithm" || object.objectType === OBJECT_TYPE.symmetricKey);

export function attributeNames(object: ManagedObject): readonly string[] {
  return OBJECT_ATTRIBUTES.filter((name) => isKept(name, object));
}

/** The names that are asked for, of those that the object has; all where none is asked for. @throws {KmipFailure} */
export function readAttributeNames(payload: Fields, version: Version, object: ManagedObject): readonly string[] {
  const asked = isVersion2(version)
    ? payload.repeated(TAG.attributeReference, TYPE.enumeration, TYPE.structure).map(nameOfReference)
    : payload.repeated(TAG.attributeName, TYPE.textString).map(textOf);
  return asked.length === 0 ? attributeNames(object) : [...new Set(asked)].filter((name) => isKept(name, object));
}

function nameOfReference(reference: Item): string {
  if (reference.type === TYPE.enumeration) {
    const tag = unsignedOf(reference);
    return Object.keys(TAG_OF_NAME).find((name) => TAG_OF_NAME[name] === tag) ?? "";
  }
  const fields = new Fields(reference);
  fields.optional(TAG.vendorIdentification, TYPE.textString);
  const name = textOf(fields.required(TAG.attributeName, TYPE.textString));
  fields.end();
  return name;
}

export function writeAttributeNames(writer: TtlvWriter, version: Version, names: readonly string[]): void {
  for (const name of names) {
    if (isVersion2(version)) writer.enumeration(TAG.attributeReference, TAG_OF_NAME[name]!);
    else writer.text(TAG.attributeName, name);
  }
}

export function writeAttributes(
  writer: TtlvWriter,
  version: Version,
  names: readonly string[],
  source: AttributeSource,
): void {
  if (isVersion2(version)) {
    writer.structure(TAG.attributes, () => {
      for (const name of names) writeValue(writer, TAG_OF_NAME[name]!, name as AttributeName, source);
    });
    return;
  }
  for (const name of names) {
    writer.structure(TAG.attribute, () => {
      writer.text(TAG.attributeName, name);
      writeValue(writer, TAG.attributeValue, name as AttributeName, source);
    });
  }
}

function writeValue(writer: TtlvWriter, tag: number, name: AttributeName, source: AttributeSource): void {
  const { object } = source;
  if (name === "Unique Identifier") writer.text(tag, source.identifier);
  else if (name === "Object Type") writer.enumeration(tag, object.objectType);
  else if (name === "Cryptographic Length") writer.integer(tag, source.lengthBits);
  else if (name === "Cryptographic Usage Mask") writer.integer(tag, object.usageMask);
  else if (name === "State") writer.enumeration(tag, source.state);
  else if (object.objectType === OBJECT_TYPE.symmetricKey) writer.enumeration(tag, object.algorithm);
}

/** @throws {KmipFailure} for an object that Get can't give in this format */
export function checkKeyFormat(asked: number | undefined, object: ManagedObject): void {
  if (asked === undefined || asked === object.keyFormat) return;
  if (asked === KEY_FORMAT.raw || asked === KEY_FORMAT.opaque) return;
  throw new KmipFailure(
    RESULT_REASON.keyFormatTypeNotSupported,
    "The object is given as Raw or Opaque only. Leave the Key Format Type away.",
  );
}
