/** Operations that would need state: refused, with what to do instead, and never answered as if they had been done. */
import { parseBlob } from "../../cipher/blob.ts";
import { OPERATION, OPERATION_NAME, RESULT_REASON, TAG } from "./enumerations.ts";
import { KmipFailure } from "./failure.ts";
import { readIdentifier } from "./identifier.ts";
import { type Item, TYPE, textOf } from "./ttlv.ts";

const NAME = {
  locate: 8,
  addAttribute: 13,
  modifyAttribute: 14,
  deleteAttribute: 15,
  setAttribute: 49,
  reKey: 4,
} as const;

const KEPT_ELSEWHERE = "It keeps no attributes. Keep names and notes where the identifier is kept.";

/** By operation; REVOKE stands for the command. */
const INSTEAD: Readonly<Record<number, string>> = {
  [OPERATION.destroy]:
    "It keeps no objects, so it can't erase one: whoever has the identifier has the object. To make it unusable, revoke the version of its service key at the Core (REVOKE), with all objects of that version, or throw the identifier away.",
  [OPERATION.revoke]:
    "Revoke the version of the object's service key at the Core: REVOKE. All objects of that version are then refused.",
  [NAME.locate]:
    "It keeps no objects and no names, so it can't look for one. Keep the Unique Identifier where the key is used.",
  [NAME.reKey]: "Create a new key, and use its identifier from then on. Service keys are rotated at the Core.",
  [NAME.addAttribute]: KEPT_ELSEWHERE,
  [NAME.modifyAttribute]: KEPT_ELSEWHERE,
  [NAME.deleteAttribute]: KEPT_ELSEWHERE,
  [NAME.setAttribute]: KEPT_ELSEWHERE,
};

/** `payload`: of the request, whose identifier says which version of which service key the object is under. */
export function refusal(operation: number, payload: Item): KmipFailure {
  const name = OPERATION_NAME[operation] ?? `The operation ${operation}`;
  const instead = INSTEAD[operation] ?? "It serves Create, Register, Get, Activate, Encrypt, Decrypt and attributes.";
  const message = `${name} is not done by this edge. ${instead.replace("REVOKE", revokeCommand(payload))}`;
  return new KmipFailure(RESULT_REASON.operationNotSupported, message);
}

function revokeCommand(payload: Item): string {
  try {
    const identifier = payload.items.find(({ tag, type }) => tag === TAG.uniqueIdentifier && type === TYPE.textString);
    const { tenant, service, version } = parseBlob(readIdentifier(textOf(identifier!)).blob);
    return `crypto-edge core revoke ${tenant} ${service} --key-version ${version}`;
  } catch {
    return "crypto-edge core revoke TENANT SERVICE --key-version N";
  }
}
