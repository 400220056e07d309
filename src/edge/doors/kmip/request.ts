/** A request message: its header and batch items, checked; and a response message (KMIP 1.4, section 7). */
import { ASYNCHRONOUS_MANDATORY, BATCH_ERROR, TAG } from "./enumerations.ts";
import { featureNotSupported, invalidMessage, KmipFailure } from "./failure.ts";
import { Fields } from "./fields.ts";
import { booleanOf, type Item, integerOf, TtlvError, TYPE, textOf, unsignedOf } from "./ttlv.ts";
import { type Version, versionOf } from "./version.ts";

export interface RequestHeader {
  readonly version: Version;
  readonly maximumResponseSize: number | undefined;
  readonly continueAfterErrors: boolean;
  /** Echoed (KMIP 1.4 and later). */
  readonly clientCorrelationValue: string | undefined;
}

export interface RequestItem {
  readonly operation: number;
  /** A view of the message. Echoed. */
  readonly uniqueBatchItemId: Uint8Array | undefined;
  readonly payload: Item;
  /** A message extension that must be understood, or not be passed over. */
  readonly critical: boolean;
}

export interface RequestMessage {
  readonly header: RequestHeader;
  readonly items: readonly RequestItem[];
}

const BATCH_ITEMS_MAX = 64;

/** Attestation Type, of which there may be several. */
const ATTESTATION_TYPE = 0x4200c7;
const CORRELATION_LENGTH_MAX = 128;

/** The version that a message is in, however wrong the rest of it is; undefined where it can't be told. */
export function readVersion(message: Item): { readonly major: number; readonly minor: number } | undefined {
  try {
    const header = new Fields(new Fields(message).required(TAG.requestHeader, TYPE.structure));
    const version = new Fields(header.required(TAG.protocolVersion, TYPE.structure));
    const major = integerOf(version.required(TAG.protocolVersionMajor, TYPE.integer));
    const minor = integerOf(version.required(TAG.protocolVersionMinor, TYPE.integer));
    version.end();
    return { major, minor };
  } catch {
    return undefined;
  }
}

/** @throws {KmipFailure} for a message that is not sound as a whole: none of its items is carried out */
export function readRequest(message: Item): RequestMessage {
  try {
    return read(message);
  } catch (error) {
    if (error instanceof KmipFailure || error instanceof TtlvError) throw invalidMessage(error.message);
    throw error;
  }
}

function read(message: Item): RequestMessage {
  if (message.tag !== TAG.requestMessage) throw invalidMessage("This is not a request message of KMIP.");
  const fields = new Fields(message);
  const { header, batchCount } = readHeader(fields.required(TAG.requestHeader, TYPE.structure));
  const batchItems = fields.repeated(TAG.batchItem, TYPE.structure);
  fields.end();
  if (batchItems.length !== batchCount) throw invalidMessage("The Batch Count is not that of the batch items.");
  if (batchCount < 1 || batchCount > BATCH_ITEMS_MAX) {
    throw invalidMessage(`A message has 1 to ${BATCH_ITEMS_MAX} batch items.`);
  }
  return { header, items: batchItems.map(readBatchItem) };
}

function readHeader(item: Item): { readonly header: RequestHeader; readonly batchCount: number } {
  const fields = new Fields(item);
  const announced = new Fields(fields.required(TAG.protocolVersion, TYPE.structure));
  const major = integerOf(announced.required(TAG.protocolVersionMajor, TYPE.integer));
  const minor = integerOf(announced.required(TAG.protocolVersionMinor, TYPE.integer));
  announced.end();
  const version = versionOf(major, minor);
  if (version === undefined) {
    throw invalidMessage(`KMIP ${major}.${minor} is not spoken here. Use 1.0 to 1.4, 2.0 or 2.1.`);
  }
  const maximumResponseSize = fields.optional(TAG.maximumResponseSize, TYPE.integer);
  const correlation = fields.optional(TAG.clientCorrelationValue, TYPE.textString);
  fields.optional(TAG.serverCorrelationValue, TYPE.textString);
  const asynchronous = fields.optional(TAG.asynchronousIndicator, TYPE.boolean, TYPE.enumeration);
  fields.optional(TAG.attestationCapableIndicator, TYPE.boolean);
  fields.repeated(ATTESTATION_TYPE, TYPE.enumeration);
  // Whatever credential is in there: the client certificate decides who calls.
  fields.optional(TAG.authentication, TYPE.structure);
  const onError = fields.optional(TAG.batchErrorContinuationOption, TYPE.enumeration);
  fields.optional(TAG.batchOrderOption, TYPE.boolean);
  fields.optional(TAG.timeStamp, TYPE.dateTime);
  const batchCount = integerOf(fields.required(TAG.batchCount, TYPE.integer));
  fields.end();

  if (asynchronous?.type === TYPE.enumeration && unsignedOf(asynchronous) === ASYNCHRONOUS_MANDATORY) {
    throw featureNotSupported("Requests are answered at once. Don't ask for asynchronous answers.");
  }
  const option = onError === undefined ? BATCH_ERROR.stop : unsignedOf(onError);
  if (option < BATCH_ERROR.continue || option > BATCH_ERROR.undo) {
    throw invalidMessage("The Batch Error Continuation Option is none of KMIP's.");
  }
  if (option === BATCH_ERROR.undo && batchCount > 1) {
    throw featureNotSupported("What was done can't be undone. Use the Batch Error Continuation Option Stop.");
  }
  const size = maximumResponseSize && integerOf(maximumResponseSize);
  if (size !== undefined && size < 0) throw invalidMessage("The Maximum Response Size is negative.");
  const clientCorrelationValue = correlation && textOf(correlation);
  if (clientCorrelationValue !== undefined && clientCorrelationValue.length > CORRELATION_LENGTH_MAX) {
    throw invalidMessage(`The Client Correlation Value is longer than ${CORRELATION_LENGTH_MAX} characters.`);
  }
  return {
    header: {
      version,
      maximumResponseSize: size,
      continueAfterErrors: option === BATCH_ERROR.continue,
      clientCorrelationValue,
    },
    batchCount,
  };
}

function readBatchItem(item: Item): RequestItem {
  const fields = new Fields(item);
  const operation = unsignedOf(fields.required(TAG.operation, TYPE.enumeration));
  fields.optional(TAG.ephemeral, TYPE.boolean);
  const uniqueBatchItemId = fields.optional(TAG.uniqueBatchItemId, TYPE.byteString)?.value;
  const payload = fields.required(TAG.requestPayload, TYPE.structure);
  const extension = fields.optional(TAG.messageExtension, TYPE.structure);
  fields.end();
  return { operation, uniqueBatchItemId, payload, critical: extension !== undefined && isCritical(extension) };
}

function isCritical(extension: Item): boolean {
  const fields = new Fields(extension);
  fields.required(TAG.vendorIdentification, TYPE.textString);
  const critical = booleanOf(fields.required(TAG.criticalityIndicator, TYPE.boolean));
  fields.rest();
  return critical;
}
