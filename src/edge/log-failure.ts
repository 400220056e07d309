import { messageOf, OperationError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { RequestTrace } from "../base/network/trace-context.ts";

/** Logs a request that failed: as loud as whoever runs the edge has to do something about it. */
export function logFailure(log: Log, error: unknown, trace: RequestTrace): void {
  if (!(error instanceof OperationError)) {
    log.error({ ...trace.fields, err: error }, "a request failed by a defect of the edge");
  } else if (error.code === "unauthenticated") {
    log.warn({ ...trace.fields, reason: error.message }, "a caller was not known");
  } else if (error.code === "lease_unavailable") {
    const reason = messageOf(error.cause ?? error);
    log.warn({ ...trace.fields, reason }, "a request could not be served");
  } else {
    log.debug({ ...trace.fields, code: error.code }, "a request was refused");
  }
}
