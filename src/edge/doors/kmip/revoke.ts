/**
 * Revoke, where the configuration has `forward: core` (ADR-603: life-cycle belongs to the Core). What can be revoked is the version of the service
 * key that an object is wrapped under, with all that is wrapped under it: there is no smaller unit, since nothing of an object is kept. So
 * it takes a caller that is named for it, and the reason Key Compromise.
 */
import { OperationError } from "../../../base/errors.ts";
import { wipe } from "../../../base/wipe.ts";
import { principalId } from "../../access/principal-id.ts";
import { parseBlob } from "../../cipher/blob.ts";
import { RESULT_REASON, TAG } from "./enumerations.ts";
import { KmipFailure } from "./failure.ts";
import { Fields } from "./fields.ts";
import type { Batch, HandlerParts, WritePayload } from "./handler.ts";
import { open, readObject } from "./object.ts";
import { TYPE, textOf, unsignedOf } from "./ttlv.ts";

const KEY_COMPROMISE = 2;
const REASON_LENGTH_MAX = 400;

export async function revoke(payload: Fields, batch: Batch, parts: HandlerParts): Promise<WritePayload> {
  // Without it there is no handler.
  const revokeService = parts.revokeService!;
  const named = readObject(payload, batch);
  const given = new Fields(payload.required(TAG.revocationReason, TYPE.structure));
  const code = unsignedOf(given.required(TAG.revocationReasonCode, TYPE.enumeration));
  const message = given.optional(TAG.revocationMessage, TYPE.textString);
  given.end();
  payload.optional(TAG.compromiseOccurrenceDate, TYPE.dateTime);
  payload.end();
  if (!revokeService.allows(batch.caller)) {
    throw new KmipFailure(
      RESULT_REASON.permissionDenied,
      "This principal may not revoke. Name it in revoke_principals of the door kmip, or revoke at the Core.",
    );
  }
  if (code !== KEY_COMPROMISE) {
    throw new KmipFailure(
      RESULT_REASON.operationNotSupported,
      "Revoking cuts off every object of the service key's version, so only the Revocation Reason Key Compromise is forwarded. Nothing was revoked.",
    );
  }
  if (!(await isRevoked(() => open(named, batch, parts)))) {
    const { tenant, service, version } = parseBlob(named.blob);
    const principal = principalId(batch.caller.principal);
    // Shown on terminals: no control characters.
    const said = message === undefined ? "key compromise" : textOf(message).replace(/\p{C}/gu, " ");
    const reason = `KMIP Revoke by ${principal}: ${said}`;
    await revokeService.revoke({ tenant, service, version }, reason.slice(0, REASON_LENGTH_MAX));
    parts.log.warn({ principal, tenant, service, version }, "a version was revoked at the Core for a KMIP client");
  }
  return (writer) => writer.text(TAG.uniqueIdentifier, named.identifier);
}

/** Only who can use an object can revoke it, and only an object that is one. */
async function isRevoked(use: () => Promise<Uint8Array>): Promise<boolean> {
  try {
    wipe(await use());
    return false;
  } catch (error) {
    if (error instanceof OperationError && error.code === "key_revoked") return true;
    throw error;
  }
}
