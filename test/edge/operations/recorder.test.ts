import { expect, test } from "bun:test";
import { HTTP_STATUS, isOperationCode, OperationError, type RequestErrorCode } from "../../../src/base/errors.ts";
import { outcomeOf } from "../../../src/edge/operations/recorder.ts";

test("an outcome is the code of an operation's own error; anything else, whatever its code, is internal", () => {
  const codes = Object.keys(HTTP_STATUS) as RequestErrorCode[];
  expect(new Set(codes.map(isOperationCode))).toEqual(new Set([true, false]));
  for (const code of codes) {
    const outcome = isOperationCode(code) ? code : "internal_error";
    expect(outcomeOf(new OperationError(code, "It failed."))).toBe(outcome);
    expect(outcomeOf(Object.assign(new Error("Of a library."), { code }))).toBe("internal_error");
  }
  expect(outcomeOf(undefined)).toBe("internal_error");
});
