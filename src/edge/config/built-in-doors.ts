/**
 * The front doors that come with the edge. Here is only what the configuration needs; a door's code is loaded when a listener names it,
 * so that it is not in the heap of an edge that does not serve it.
 */
import type { TSchema } from "@sinclair/typebox";
import { Section } from "../../base/config/schema-types.ts";
import { AwsKmsSection } from "../doors/aws-kms/configuration.ts";
import type { Door, DoorFactory } from "../doors/door.ts";
import { KesSection } from "../doors/kes/configuration.ts";
import { KmipSection } from "../doors/kmip/configuration.ts";
import { KubernetesKmsSection } from "../doors/kubernetes-kms/configuration.ts";
import { VaultTransitSection } from "../doors/vault-transit/configuration.ts";

export interface DoorEntry {
  /** `http` doors share the `http`, `https` and `unix` listeners; a `socket` door has a `unix` or `tls` listener to itself. */
  readonly transport: Door["transport"];
  /** Of `doors.<name>`, and of `<name>` in a listener's entry. */
  readonly section: TSchema;
}

export interface BuiltInDoor extends DoorEntry {
  load(): Promise<DoorFactory<never>>;
}

/** The edge's own API: made by the edge itself, which lends it more than a door gets. */
export const NATIVE_DOOR = "native";

/** By the name that a listener's `doors` gives. */
export const BUILT_IN_DOORS: Readonly<Record<string, BuiltInDoor>> = {
  "aws-kms": {
    transport: "http",
    section: AwsKmsSection,
    load: async () => (await import("../doors/aws-kms/door.ts")).door,
  },
  "vault-transit": {
    transport: "http",
    section: VaultTransitSection,
    load: async () => (await import("../doors/vault-transit/door.ts")).door,
  },
  kes: { transport: "http", section: KesSection, load: async () => (await import("../doors/kes/door.ts")).door },
  kmip: { transport: "socket", section: KmipSection, load: async () => (await import("../doors/kmip/door.ts")).door },
  "kubernetes-kms": {
    transport: "socket",
    section: KubernetesKmsSection,
    load: async () => (await import("../doors/kubernetes-kms/door.ts")).door,
  },
};

export const NATIVE_SECTION = Section({}, { description: "The edge's own API (docs/api.md)." });
