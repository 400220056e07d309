/** The operations of KMIP that are carried out here; `message.ts` says why the others are not. */
import { create, register } from "./create.ts";
import { discoverVersions, query } from "./discovery.ts";
import { OPERATION } from "./enumerations.ts";
import type { Batch, Handler, HandlerParts } from "./handler.ts";
import { activate, decryptData, encryptData, get, getAttributeList, getAttributes } from "./object.ts";
import { revoke } from "./revoke.ts";

export const HANDLERS: ReadonlyMap<number, Handler> = new Map<number, Handler>([
  [OPERATION.create, { since: 10, handle: create }],
  [OPERATION.register, { since: 10, handle: register }],
  [OPERATION.get, { since: 10, handle: get }],
  [OPERATION.getAttributes, { since: 10, handle: getAttributes }],
  [OPERATION.getAttributeList, { since: 10, handle: getAttributeList }],
  [OPERATION.activate, { since: 10, handle: activate }],
  [OPERATION.revoke, { since: 10, handle: revoke }],
  [
    OPERATION.query,
    { since: 10, handle: (payload, batch, parts) => query(payload, parts.vendor, operationsOf(batch, parts)) },
  ],
  // Came with 1.1; asked before a version is agreed on, so answered in any.
  [OPERATION.discoverVersions, { since: 10, handle: discoverVersions }],
  [OPERATION.encrypt, { since: 12, handle: encryptData }],
  [OPERATION.decrypt, { since: 12, handle: decryptData }],
]);

/** What is carried out in the version of the request. */
function operationsOf({ version }: Batch, { revokeService }: HandlerParts): number[] {
  return [...HANDLERS]
    .filter(
      ([operation, { since }]) => since <= version && (operation !== OPERATION.revoke || revokeService !== undefined),
    )
    .filter(([operation]) => operation !== OPERATION.discoverVersions || version >= 11)
    .map(([operation]) => operation);
}
