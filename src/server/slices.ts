/** Long batches in turns with everyone else's requests, so that one caller's 10,000 blobs don't hold up another's one. */
import type { Principal } from "../access/principal.ts";
import type { CryptoEdgeError } from "../errors.ts";
import type { DecryptedKey, DecryptKeyRequest, MaybePromise, Orchestrator } from "../orchestrator.ts";
import type { RequestId } from "../usage/usage-recorder.ts";
import { wipe } from "../wipe.ts";

/** Some milliseconds' work. A batch up to this runs in one go. */
const SLICE = 1_000;

/** As `orchestrator.decryptKeys`, which judges each item by itself, so that slices change nothing but the time. */
export function decryptInSlices(
  orchestrator: Orchestrator,
  principal: Principal,
  requests: readonly DecryptKeyRequest[],
  requestId?: RequestId,
): MaybePromise<(DecryptedKey | CryptoEdgeError)[]> {
  if (requests.length <= SLICE) return orchestrator.decryptKeys(principal, requests, requestId);
  return slices(orchestrator, principal, requests, requestId);
}

async function slices(
  orchestrator: Orchestrator,
  principal: Principal,
  requests: readonly DecryptKeyRequest[],
  requestId?: RequestId,
): Promise<(DecryptedKey | CryptoEdgeError)[]> {
  const results: (DecryptedKey | CryptoEdgeError)[] = [];
  try {
    for (let start = 0; start < requests.length; start += SLICE) {
      if (start > 0) await new Promise<void>((resolve) => setImmediate(resolve));
      results.push(...(await orchestrator.decryptKeys(principal, requests.slice(start, start + SLICE), requestId)));
    }
    return results;
  } catch (error) {
    for (const result of results) if ("plaintext" in result) wipe(result.plaintext);
    throw error;
  }
}
