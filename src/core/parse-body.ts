import { messageOf } from "../base/errors.ts";
import { parseJson } from "../base/json/parse.ts";
import { CoreError } from "./protocol/core-error.ts";

/** @throws {CoreError} `invalid_request` for what is not JSON, or has a member twice */
export function parseBody(body: Buffer): unknown {
  try {
    return parseJson(body);
  } catch (error) {
    throw new CoreError("invalid_request", `the body is not as JSON has to be: ${messageOf(error)}`);
  }
}
