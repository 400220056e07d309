/** One operation on one key or value, from a body in a form that clients write: the short way, which loads nothing else. */
import type { Caller, MaybePromise, Operations } from "../../operations/operations.ts";
import type { DoorAnswer } from "../door.ts";
import type { OperationRoute, SingleRoute } from "./routes.ts";

export const JSON_TYPE = "application/json";
export const JSON_HEADERS = { "Content-Type": "application/json;charset=utf-8" };

/** Of a body in the forms that clients write. Undefined: it has another form. @throws {CryptoEdgeError} or rejects with it */
export function serveFast(
  route: SingleRoute,
  operations: Operations,
  caller: Caller,
  body: Buffer,
): MaybePromise<DoorAnswer> | undefined {
  const request = route.readFast(body);
  return request === undefined ? undefined : serveSingle(route, operations, caller, request);
}

/** From what is asked for to an answer. */
export function serveSingle(
  route: SingleRoute,
  operations: Operations,
  caller: Caller,
  request: unknown,
): MaybePromise<DoorAnswer> {
  const text = route.run(operations, caller, request);
  return text instanceof Promise ? text.then((later) => answered(route, later)) : answered(route, text);
}

function answered(route: OperationRoute, body: string): DoorAnswer {
  return { status: route.success, headers: JSON_HEADERS, body };
}
