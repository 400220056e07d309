/** The sections of the front doors that come with the edge: only what the configuration needs (doors/built-in.ts has where the doors are). */
import type { TSchema } from "@sinclair/typebox";
import { Section } from "../../base/config/schema-types.ts";
import { AwsKmsSection } from "../doors/aws-kms/configuration.ts";
import { BUILT_IN_DOORS, type BuiltInDoorName } from "../doors/built-in.ts";
import type { Door } from "../doors/door.ts";
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

const SECTIONS: Readonly<Record<BuiltInDoorName, TSchema>> = {
  "aws-kms": AwsKmsSection,
  "vault-transit": VaultTransitSection,
  kes: KesSection,
  kmip: KmipSection,
  "kubernetes-kms": KubernetesKmsSection,
};

/** By the name that a listener's `doors` gives. */
export const BUILT_IN_SECTIONS: Readonly<Record<string, DoorEntry>> = Object.fromEntries(
  Object.entries(BUILT_IN_DOORS).map(([name, transport]) => [
    name,
    { transport, section: SECTIONS[name as BuiltInDoorName] },
  ]),
);

export const NATIVE_SECTION = Section({}, { description: "The edge's own API (docs/api.md)." });
