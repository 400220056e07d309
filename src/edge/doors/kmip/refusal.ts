/** Operations that would need state: refused, with what to do instead, and never answered as if they had been done. */
import { OPERATION, OPERATION_NAME, RESULT_REASON } from "./enumerations.ts";
import { KmipFailure } from "./failure.ts";

const NAME = {
  locate: 8,
  addAttribute: 13,
  modifyAttribute: 14,
  deleteAttribute: 15,
  setAttribute: 49,
  reKey: 4,
} as const;

const INSTEAD: Readonly<Record<number, string>> = {
  [OPERATION.destroy]:
    "It keeps no objects, so it can't erase one: whoever has the identifier has the object. To make it unusable, revoke the version of its service key at the Core (crypto-edge core revoke), or throw the identifier away.",
  [OPERATION.revoke]:
    "Revoke the version of the object's service key at the Core: crypto-edge core revoke TENANT SERVICE --key-version N. All objects of that version are then refused.",
  [NAME.locate]:
    "It keeps no objects and no names, so it can't look for one. Keep the Unique Identifier where the key is used.",
  [NAME.reKey]: "Create a new key, and use its identifier from then on. Service keys are rotated at the Core.",
  [NAME.addAttribute]: "It keeps no attributes. Keep names and notes where the identifier is kept.",
  [NAME.modifyAttribute]: "It keeps no attributes. Keep names and notes where the identifier is kept.",
  [NAME.deleteAttribute]: "It keeps no attributes. Keep names and notes where the identifier is kept.",
  [NAME.setAttribute]: "It keeps no attributes. Keep names and notes where the identifier is kept.",
};

export function refusal(operation: number): KmipFailure {
  const name = OPERATION_NAME[operation] ?? `The operation ${operation}`;
  const instead = INSTEAD[operation] ?? "It serves Create, Register, Get, Activate, Encrypt, Decrypt and attributes.";
  return new KmipFailure(RESULT_REASON.operationNotSupported, `${name} is not done by this edge. ${instead}`);
}
