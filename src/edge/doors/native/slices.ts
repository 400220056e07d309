/** A long decrypt-batch in turns with everyone else's requests; the orchestrator makes keys in turns by itself. */

import type { CryptoEdgeError } from "../../../base/errors.ts";
import { othersTurn, TURN_KEYS } from "../../../base/time/turns.ts";
import { wipe } from "../../../base/wipe.ts";
import type { Principal } from "../../access/principal.ts";
import type { DecryptedKey, DecryptKeyRequest, MaybePromise, Orchestrator } from "../../operations/orchestrator.ts";
import type { RequestId } from "../../operations/usage-recorder.ts";

/** As `orchestrator.decryptKeys`, which judges each item by itself, so that slices change nothing but the time. */
export function decryptInSlices(
  orchestrator: Orchestrator,
  principal: Principal,
  requests: readonly DecryptKeyRequest[],
  requestId?: RequestId,
): MaybePromise<(DecryptedKey | CryptoEdgeError)[]> {
  if (requests.length <= TURN_KEYS) return orchestrator.decryptKeys(principal, requests, requestId);
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
    for (let start = 0; start < requests.length; start += TURN_KEYS) {
      if (start > 0) await othersTurn();
      results.push(...(await orchestrator.decryptKeys(principal, requests.slice(start, start + TURN_KEYS), requestId)));
    }
    return results;
  } catch (error) {
    for (const result of results) if ("plaintext" in result) wipe(result.plaintext);
    throw error;
  }
}
