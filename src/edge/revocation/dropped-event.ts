import { CodedError } from "../../base/errors.ts";

/** Why an event was not believed; counted by transport. */
export type DropReason =
  /** Not a JWS, or not the data of an event. */
  | "malformed"
  /** No key of the Core's set made this signature. */
  | "bad_signature"
  /** The Core's key set could not be had, or lacks the key named. */
  | "no_key"
  /** Made longer ago than any lease lives. */
  | "too_old"
  /** Made at a time that has not come. */
  | "from_future"
  /** Of another event log: another Core, or a history that was left. */
  | "other_log"
  /** An old event, before the edge has its position in the log. */
  | "no_place"
  /** Signed, but never sent by this road. */
  | "not_an_event"
  /** More at once than are verified: nobody but a forger sends so many. A true one among them shows as a hole. */
  | "too_many";

/** An event that must not be believed. */
export class DroppedEvent extends CodedError<DropReason> {
  override readonly name = "DroppedEvent";
}
