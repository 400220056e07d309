import { CoreCallError } from "../key-source/core/core-call-error.ts";
import type { CoreClient } from "../key-source/core/core-client.ts";
import { type SendUsage, UsageSendError } from "./usage-shipper.ts";

/** Takes batches to the Core over the same mutual TLS as leases (core-protocol.md, "Usage"). */
export function sendToCore(core: Pick<CoreClient, "usage">): SendUsage {
  return async ({ idempotencyKey, body }, signal) => {
    try {
      await core.usage({ idempotencyKey, body, gzip: true }, signal);
    } catch (error) {
      throw error instanceof CoreCallError ? sendError(error) : error;
    }
  };
}

function sendError(error: CoreCallError): UsageSendError {
  const { message, status, retryAfterMs } = error;
  const options = { cause: error, ...(retryAfterMs === undefined ? undefined : { retryAfterMs }) };
  if (status === 413) return new UsageSendError("too_large", message, options);
  // An edge that is not known yet, or whose certificate has run out, will be: what it did must not be lost by then.
  if (error.retryable || status === 401 || status === 403) return new UsageSendError("unavailable", message, options);
  return new UsageSendError("refused", message, options);
}
