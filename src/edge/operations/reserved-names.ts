/**
 * Names in an encryption context that front doors give by themselves: they bind what their protocol puts beside the caller's own
 * context (docs/doors.md). Whoever could give them elsewhere could open a blob without what it is bound to.
 */
import { OperationError } from "../../base/errors.ts";
import type { EncryptionContext } from "../cipher/context.ts";

/** How the reserved names begin, and the one door that may give them. */
const OWNER: Readonly<Record<string, string>> = {
  "vault:": "vault-transit",
  "kmip:": "kmip",
  "kes:": "kes",
  "kubernetes-kms:": "kubernetes-kms",
};

/** @throws {OperationError} `invalid_request` for a name that is another door's */
export function checkReservedNames(context: EncryptionContext, door: string): void {
  for (const name in context) {
    // Empty where there is no colon.
    const prefix = name.slice(0, name.indexOf(":") + 1);
    const owner = Object.hasOwn(OWNER, prefix) ? OWNER[prefix] : undefined;
    if (owner === undefined || owner === door) continue;
    throw new OperationError(
      "invalid_request",
      `The context has a name that begins with "${prefix}", which only the front door ${owner} may give. Choose another name, or use that door.`,
    );
  }
}
