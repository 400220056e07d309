/** The operations of KMIP that are carried out here; `message.ts` says why the others are not. */
import { create, register } from "./create.ts";
import { discoverVersions, query } from "./discovery.ts";
import { OPERATION } from "./enumerations.ts";
import type { Batch, Handler, HandlerParts } from "./handler.ts";
import { activate, decryptData, encryptData, get, getAttributeList, getAttributes } from "./object.ts";
import { revoke } from "./revoke.ts";

const HANDLERS: ReadonlyMap<number, Handler> = new Map<number, Handler>([
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

/** Undefined for what is not carried out in this version, or not here. */
export function handlerOf(operation: number, { version }: Batch, { revokeService }: HandlerParts): Handler | undefined {
  if (operation === OPERATION.revoke && revokeService === undefined) return undefined;
  const handler = HANDLERS.get(operation);
  return handler !== undefined && handler.since <= version ? handler : undefined;
}

function operationsOf(batch: Batch, parts: HandlerParts): number[] {
  return [...HANDLERS.keys()].filter(
    (operation) =>
      handlerOf(operation, batch, parts) !== undefined &&
      (operation !== OPERATION.discoverVersions || batch.version >= 11),
  );
}
