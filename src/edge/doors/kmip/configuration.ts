/** The door's section of the configuration. */
import { type Static, Type } from "@sinclair/typebox";
import { Name, Path, Section } from "../../../base/config/schema-types.ts";

export const KmipSection = Section(
  {
    tenant: Type.Optional(Name({ description: "The tenant of new objects (Create, Register)." })),
    service: Name({ default: "default", description: "The service of new objects." }),
    places: Type.Array(
      Section({
        principals: Type.Array(Type.String({ minLength: 1 }), {
          minItems: 1,
          description: "Names of principals; `*` stands for any characters.",
        }),
        tenant: Name(),
        service: Name({ default: "default" }),
      }),
      {
        default: [],
        description: "Tenant and service of new objects by principal; the first entry that names the caller counts.",
      },
    ),
    handshakes_per_second: Type.Integer({
      default: 100,
      minimum: 1,
      maximum: 100_000,
      description:
        "Connections that one principal may make a second, and as many at once after a rest; the request of one beyond waits a second and is a General Failure, and its handshake counts as a failed one of its address (`limits.failed_handshakes_per_second`). A handshake costs about a millisecond of processor time.",
    }),
    forward: Type.Optional(
      Type.Literal("core", {
        expected: "core",
        description:
          "Carries out Revoke (reason: Key Compromise) at the Core: on the version of the service key that the object is under, and so on all objects of that version.",
      }),
    ),
    revoke_principals: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      description: "With `forward`: who may revoke. `*` stands for any characters.",
    }),
    core: Type.Optional(
      Section(
        {
          url: Type.String({ pattern: "^https://", expected: "an https:// URL", description: "The Core's address." }),
          ca: Path({ description: "The CA certificates (PEM) that the Core's certificate must come from." }),
          cert: Path({ description: "A client certificate (PEM) that the Core takes for an administrator's." }),
          key: Path({ description: "The private key (PEM) of that certificate." }),
        },
        { description: "With `forward`: how the Core is called." },
      ),
    ),
  },
  { description: "KMIP (docs/door-kmip.md)." },
);

export type KmipConfiguration = Static<typeof KmipSection>;
