/** The door's section of the configuration. */
import { type Static, Type } from "@sinclair/typebox";
import { Name, Section } from "../../../base/config/schema-types.ts";

export const KesSection = Section(
  {
    keys: Type.Record(
      Type.String(),
      Section(
        { tenant: Name(), service: Name({ default: "default" }) },
        { description: "Tenant and service of a key's name." },
      ),
      {
        default: {},
        description:
          "What the names of KES keys stand for, such as `minio-default: { tenant: storage, service: minio }`. Names have up to 80 letters, digits, _ and -.",
      },
    ),
  },
  { description: "KES (docs/door-kes.md)." },
);

export type KesConfiguration = Static<typeof KesSection>;
