import { OperationError } from "../../src/base/errors.ts";

/** The expected error that a call ends with. @throws whatever else it throws, and when it throws nothing */
export function errorOf(call: () => unknown): OperationError {
  try {
    call();
  } catch (error) {
    if (error instanceof OperationError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}
