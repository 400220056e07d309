/** From the bytes of a request message to the bytes of the response: never throws, and answers in the version that was asked in. */
import { messageOf } from "../../../base/errors.ts";
import type { Caller } from "../../operations/operations.ts";
import type { DoorLog } from "../door.ts";
import { RESULT_REASON, RESULT_STATUS, TAG } from "./enumerations.ts";
import { failureOf, featureNotSupported, invalidMessage, KmipFailure } from "./failure.ts";
import { Fields } from "./fields.ts";
import type { Batch, HandlerParts, WritePayload } from "./handler.ts";
import { handlerOf } from "./handlers.ts";
import { refusal } from "./refusal.ts";
import { type RequestHeader, type RequestItem, type RequestMessage, readRequest, readVersion } from "./request.ts";
import { decodeItem, type Item, TtlvError } from "./ttlv.ts";
import { TtlvWriter } from "./ttlv-writer.ts";
import { majorOf, minorOf, nearestVersion, type Version } from "./version.ts";

/** The longest response: with a batch of Get, a request of 64 KiB can ask for about as much. */
const RESPONSE_LENGTH_MAX = 256 * 1024;
/** What is told of a defect; the log has the rest. */
const DEFECT_MESSAGE = "The edge failed at this by a defect of its own. Try again, and tell whoever runs it.";

export interface ResponseMessage {
  /** The owner wipes it when it has been sent. */
  readonly writer: TtlvWriter;
  /** After a message that is not sound nothing more is read: who knows where the next one begins. */
  readonly last: boolean;
}

/** `bytes`: one message, whole. Views of it are used until the promise settles; the caller wipes it then. Never rejects. */
export async function answerMessage(bytes: Uint8Array, caller: Caller, parts: HandlerParts): Promise<ResponseMessage> {
  let message: Item | undefined;
  try {
    message = decodeItem(bytes);
    return { writer: await answerRequest(readRequest(message), caller, parts), last: false };
  } catch (error) {
    const failure = error instanceof TtlvError ? invalidMessage(error.message) : failureFrom(error, parts.log);
    return { writer: writeFailure(failure, versionFor(message), parts.nowSeconds()), last: true };
  }
}

/** The response to something that is not a message, or not one that can be carried out: one failed item. */
export function writeFailure(failure: KmipFailure, version: Version, nowSeconds: number): TtlvWriter {
  const item = new TtlvWriter();
  writeFailedItem(item, undefined, failure);
  return assemble(item, 1, { version, clientCorrelationValue: undefined }, nowSeconds);
}

/** The response to a message of which nothing is carried out, in its version. */
export function refuseMessage(bytes: Uint8Array, failure: KmipFailure, nowSeconds: number): TtlvWriter {
  let message: Item | undefined;
  try {
    message = decodeItem(bytes);
  } catch {
    // Refused all the same.
  }
  return writeFailure(failure, versionFor(message), nowSeconds);
}

/** What a message is answered in: its own version, or where that is none of ours the nearest older one. */
function versionFor(message: Item | undefined): Version {
  const asked = message && readVersion(message);
  return asked === undefined ? 10 : nearestVersion(asked.major, asked.minor);
}

async function answerRequest(request: RequestMessage, caller: Caller, parts: HandlerParts): Promise<TtlvWriter> {
  const { header, items } = request;
  const batch: Batch = { caller, version: header.version, placeholder: undefined };
  const limit = Math.min(header.maximumResponseSize ?? RESPONSE_LENGTH_MAX, RESPONSE_LENGTH_MAX) - HEADER_LENGTH_MAX;
  const body = new TtlvWriter();
  let count = 0;
  for (const item of items) {
    count++;
    const start = body.length;
    const write = await carryOut(item, batch, parts);
    if (!(write instanceof KmipFailure)) {
      writeDoneItem(body, item, write);
      if (body.length <= limit) continue;
      body.cutTo(start);
    }
    writeFailedItem(body, item, write instanceof KmipFailure ? write : TOO_LARGE);
    // What a later item takes for the object of this one must not be an older object.
    batch.placeholder = undefined;
    if (!header.continueAfterErrors) break;
  }
  return assemble(body, count, header, parts.nowSeconds());
}

const TOO_LARGE = new KmipFailure(
  RESULT_REASON.responseTooLarge,
  "The response would be longer than the Maximum Response Size, or than 256 KiB. Ask for fewer objects in one message.",
);

async function carryOut(item: RequestItem, batch: Batch, parts: HandlerParts): Promise<WritePayload | KmipFailure> {
  try {
    if (item.critical) throw featureNotSupported("The message extension is critical, and not understood here.");
    const handler = handlerOf(item.operation, batch, parts);
    if (handler === undefined) throw refusal(item.operation, item.payload);
    return await handler.handle(new Fields(item.payload), batch, parts);
  } catch (error) {
    return failureFrom(error, parts.log);
  }
}

function failureFrom(error: unknown, log: DoorLog): KmipFailure {
  const failure = failureOf(error);
  if (failure !== undefined) return failure;
  log.error({ err: error, reason: messageOf(error) }, "a KMIP request failed by a defect of the edge");
  return new KmipFailure(RESULT_REASON.generalFailure, DEFECT_MESSAGE);
}

/** Of a response header and what it stands in, without the correlation value. */
const HEADER_LENGTH_MAX = 96;

type ResponseHeader = Pick<RequestHeader, "version" | "clientCorrelationValue">;

/** The whole message around its batch items, which are wiped. */
function assemble(items: TtlvWriter, count: number, header: ResponseHeader, nowSeconds: number): TtlvWriter {
  const { version, clientCorrelationValue } = header;
  const writer = new TtlvWriter(HEADER_LENGTH_MAX + items.length);
  writer.structure(TAG.responseMessage, () => {
    writer.structure(TAG.responseHeader, () => {
      writer.structure(TAG.protocolVersion, () => {
        writer.integer(TAG.protocolVersionMajor, majorOf(version));
        writer.integer(TAG.protocolVersionMinor, minorOf(version));
      });
      writer.dateTime(TAG.timeStamp, nowSeconds);
      if (clientCorrelationValue !== undefined && version >= 14) {
        writer.text(TAG.clientCorrelationValue, clientCorrelationValue);
      }
      writer.integer(TAG.batchCount, count);
    });
    writer.items(items.bytes);
  });
  items.wipe();
  return writer;
}

function writeDoneItem(writer: TtlvWriter, item: RequestItem, writePayload: WritePayload): void {
  writer.structure(TAG.batchItem, () => {
    writeItemHead(writer, item);
    writer.enumeration(TAG.resultStatus, RESULT_STATUS.success);
    writer.structure(TAG.responsePayload, () => writePayload(writer));
  });
}

function writeFailedItem(writer: TtlvWriter, item: RequestItem | undefined, { reason, message }: KmipFailure): void {
  writer.structure(TAG.batchItem, () => {
    if (item !== undefined) writeItemHead(writer, item);
    writer.enumeration(TAG.resultStatus, RESULT_STATUS.failed);
    writer.enumeration(TAG.resultReason, reason);
    writer.text(TAG.resultMessage, message);
  });
}

function writeItemHead(writer: TtlvWriter, { operation, uniqueBatchItemId }: RequestItem): void {
  writer.enumeration(TAG.operation, operation);
  if (uniqueBatchItemId !== undefined) writer.byteString(TAG.uniqueBatchItemId, uniqueBatchItemId);
}
