/** An entry of `policies` of the configuration: who may do what, and how much of it. */
import { type Static, Type } from "@sinclair/typebox";
import { Section } from "../../base/config/schema-types.ts";
import { OPERATIONS } from "../access/access-policy.ts";

const Operation = Type.Union(OPERATIONS.map((operation) => Type.Literal(operation)));

export const PolicySection = Section({
  name: Type.Optional(Type.String({ minLength: 1, description: "For people: `access explain` shows it." })),
  effect: Type.Union([Type.Literal("allow"), Type.Literal("deny")], {
    default: "allow",
    description: "A rule that denies wins over every rule that allows.",
  }),
  principals: Type.Array(Type.String(), {
    minItems: 1,
    description: "Names of principals; `*` stands for any characters.",
  }),
  tenants: Type.Array(Type.String(), { minItems: 1, description: "Tenants; `*` stands for any characters." }),
  services: Type.Array(Type.String(), { minItems: 1, description: "Services; `*` stands for any characters." }),
  operations: Type.Array(Operation, { minItems: 1, description: "What they may do." }),
  cache_seconds: Type.Optional(
    Type.Integer({
      minimum: 0,
      description:
        "How long callers may keep plaintext keys that they get by this rule; 0: not at all. Never longer than the edge's lease.",
    }),
  ),
  rate_limit: Type.Optional(
    Section(
      {
        per_principal: Type.Optional(
          Type.Integer({ minimum: 1, description: "Keys a second for each principal; as many at once after a rest." }),
        ),
        per_tenant: Type.Optional(
          Type.Integer({ minimum: 1, description: "Keys a second for each tenant, of all principals together." }),
        ),
      },
      { description: "How much of what this rule allows." },
    ),
  ),
});

export type PolicyConfiguration = Static<typeof PolicySection>;
