/** The front doors that come with the edge, by the names that a listener's `doors` gives. Where their code is: edge/make-doors.ts. */
import type { Door } from "./door.ts";

/** The edge's own API: made by the edge itself, which lends it more than a door gets. */
export const NATIVE_DOOR = "native";

export type BuiltInDoorName = "aws-kms" | "vault-transit" | "kes" | "kmip" | "kubernetes-kms";

/** `http` doors share the `http`, `https` and `unix` listeners; a `socket` door has a `unix` or `tls` listener to itself. */
export const BUILT_IN_DOORS: Readonly<Record<BuiltInDoorName, Door["transport"]>> = {
  "aws-kms": "http",
  "vault-transit": "http",
  kes: "http",
  kmip: "socket",
  "kubernetes-kms": "socket",
};

export function isBuiltInDoor(name: string): name is BuiltInDoorName {
  return Object.hasOwn(BUILT_IN_DOORS, name);
}
