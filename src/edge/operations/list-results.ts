/** The results of a batch as a list, for whoever needs all of them before the first is of use. */
import type { OperationError } from "../../base/errors.ts";
import { wipe } from "../../base/wipe.ts";
import type { MaybePromise, TakeResult } from "./operations.ts";

interface MaybeSecret {
  readonly plaintext?: Uint8Array | undefined;
}

/**
 * What `run` gives to the taker that it gets, in order. Where the batch ends by a defect, what it has opened is wiped.
 *
 * @example
 * const opened = await listResults<Opened>((take) => operations.decryptKeys(caller, requests, take));
 */
export function listResults<Result extends object>(
  run: (take: TakeResult<Result>) => MaybePromise<void>,
): MaybePromise<(Result | OperationError)[]> {
  const results: (Result | OperationError)[] = [];
  const failed = (error: unknown): never => {
    for (const { plaintext } of results as MaybeSecret[]) if (plaintext !== undefined) wipe(plaintext);
    throw error;
  };
  try {
    const ran = run((result) => results.push(result));
    return ran instanceof Promise ? ran.then(() => results, failed) : results;
  } catch (error) {
    return failed(error);
  }
}
