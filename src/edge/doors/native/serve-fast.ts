/** One operation on one key or value, from a body in a form that clients write: the short way, which loads nothing else. */
import { answerText } from "../../../base/network/http1/answer-text.ts";
import type { Caller, MaybePromise, Operations } from "../../operations/operations.ts";
import type { DoorAnswer } from "../door.ts";
import type { OperationRoute, SingleRoute } from "./route.ts";

export const JSON_TYPE = "application/json";
export const JSON_HEADERS = { "Content-Type": "application/json;charset=utf-8" };

/** Of a body in the forms that clients write. Undefined: it has another form. @throws {OperationError} or rejects with it */
export function serveFast(
  route: SingleRoute,
  operations: Operations,
  caller: Caller,
  body: Buffer,
): MaybePromise<DoorAnswer> | undefined {
  const request = route.readFast(body);
  if (request === undefined) return undefined;
  const text = route.run(operations, caller, request);
  return text instanceof Promise ? text.then((later) => answered(route, later)) : ANSWERED[route.success];
}

/** What an answer has beside its text is the same each time. */
const ANSWERED: Readonly<Record<200 | 201, DoorAnswer>> = {
  200: { status: 200, headers: JSON_HEADERS, body: answerText },
  201: { status: 201, headers: JSON_HEADERS, body: answerText },
};

export function answered({ success }: OperationRoute, body: string): DoorAnswer {
  return { status: success, headers: JSON_HEADERS, body };
}
