/**
 * One connection: messages are cut out of the stream, answered one after the other in the order in which they came, and wiped. Nothing is
 * read while an answer is being made or has not been taken, so a caller can't pile up work.
 */
import { CryptoEdgeError, messageOf } from "../../../base/errors.ts";
import { allocateSecret, wipe } from "../../../base/wipe.ts";
import type { Caller } from "../../operations/operations.ts";
import type { DoorSocket, SocketLimits } from "../door.ts";
import { RESULT_REASON, TAG } from "./enumerations.ts";
import { invalidMessage, KmipFailure } from "./failure.ts";
import { answerMessage, type MessageParts, type ResponseMessage, writeFailure } from "./message.ts";
import { announcedLength, HEADER_LENGTH, readTag, TYPE } from "./ttlv.ts";

/** The longest request, head included: objects of the size that databases register, with room. */
export const MESSAGE_LENGTH_MAX = 64 * 1024;
/** How long a message may take to arrive, so that a caller can't hold a connection with a byte now and then. */
const MESSAGE_TIMEOUT_MS = 30_000;
