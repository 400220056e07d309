/** `doors.vault-transit` of the configuration. */
import { type Static, Type } from "@sinclair/typebox";
import { Name, Section } from "../../../base/config/schema-types.ts";

const SEGMENT = "[A-Za-z0-9][A-Za-z0-9._-]*";

export const VaultTransitSection = Section(
  {
    mount: Type.String({
      default: "transit",
      pattern: `^${SEGMENT}(/${SEGMENT})*$`,
      maxLength: 256,
      expected: "the path of a mount, such as transit",
      description: "Where clients think that the secrets engine is mounted: they call /v1/MOUNT/….",
    }),
    tenant: Type.Optional(
      Name({
        description:
          "The tenant of requests that name no namespace. Without it, such requests must name a key of `keys`.",
      }),
    ),
    keys: Type.Record(
      Type.String({ pattern: "^[A-Za-z0-9._:/-]{1,512}$" }),
      Section({ tenant: Name(), service: Name() }),
      {
        default: {},
        expectedKey: "NAME or NAMESPACE/NAME",
        description:
          "Names of keys that are in code already (NAME, or NAMESPACE/NAME), and their service keys. With a namespace, TENANT as namespace and SERVICE as name works without.",
      },
    ),
  },
  { description: "The front door `vault-transit`: the Transit secrets engine of Vault and OpenBao." },
);

export type VaultTransitConfiguration = Static<typeof VaultTransitSection>;
