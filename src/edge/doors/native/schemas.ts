/** The bodies of the API (design.md, "The API"), as TypeBox schemas: validation, types and OpenAPI come from here. */
import { type SchemaOptions, type Static, Type } from "@sinclair/typebox";
import { NAME_PATTERN } from "../../../base/names.ts";
import { BLOB_LENGTH_MAX } from "../../cipher/blob.ts";
import { CONTEXT_BYTES_MAX, CONTEXT_ENTRIES_MAX } from "../../cipher/context.ts";
import { BATCH_MAX } from "../../operations/kinds.ts";

const Body: typeof Type.Object = (properties, options) =>
  Type.Object(properties, { additionalProperties: false, ...options });

const Name = (options: SchemaOptions) => Type.String({ pattern: NAME_PATTERN, ...options });
const Tenant = Name({ description: "The tenant." });
const Service = Name({ default: "default", description: "The service." });
const Version = Type.Integer({ minimum: 1, maximum: 2 ** 32 - 1, description: "The service key's version." });
const Plaintext = Type.String({
  contentEncoding: "base64url",
  description: "The data key, base64url. Wipe it after use.",
});
const Wrapped = Type.String({
  contentEncoding: "base64url",
  maxLength: Math.ceil((BLOB_LENGTH_MAX * 4) / 3),
  description: "The wrapped key, base64url without padding. Store it beside the data.",
});
const Context = Type.Record(Type.String({ minLength: 1 }), Type.String(), {
  maxProperties: CONTEXT_ENTRIES_MAX,
  description: `Strings to bind the key to; give them again, equal, to open it. At most ${CONTEXT_BYTES_MAX} bytes encoded.`,
});

const createProperties = {
  tenant: Tenant,
  service: Type.Optional(Service),
  context: Type.Optional(Context),
  length: Type.Optional(
    Type.Union([Type.Literal(16), Type.Literal(32), Type.Literal(64)], {
      default: 32,
      description: "Bytes of the data key.",
    }),
  ),
  plaintext: Type.Optional(Type.Boolean({ default: false, description: "Whether to return the data key too." })),
};

export const CreateBody = Body(createProperties);
export type CreateBody = Static<typeof CreateBody>;

export const CreateBatchBody = Body({
  ...createProperties,
  count: Type.Integer({ minimum: 1, maximum: BATCH_MAX, description: "How many keys." }),
});
export type CreateBatchBody = Static<typeof CreateBatchBody>;

export const WrappedBody = Body({ wrapped: Wrapped, context: Type.Optional(Context) });
export type WrappedBody = Static<typeof WrappedBody>;

export const DecryptBatchBody = Body({
  items: Type.Array(WrappedBody, { minItems: 1, maxItems: BATCH_MAX }),
});
export type DecryptBatchBody = Static<typeof DecryptBatchBody>;

export const Created = Body({ wrapped: Wrapped, version: Version, plaintext: Type.Optional(Plaintext) });
export type Created = Static<typeof Created>;

export const CreatedBatch = Body({ keys: Type.Array(Created) });
export type CreatedBatch = Static<typeof CreatedBatch>;

export const Decrypted = Body({ plaintext: Plaintext, tenant: Tenant, service: Name({}), version: Version });
export type Decrypted = Static<typeof Decrypted>;

export const Rewrapped = Body({ wrapped: Wrapped, tenant: Tenant, service: Name({}), version: Version });
export type Rewrapped = Static<typeof Rewrapped>;

export const ProblemBody = Type.Object(
  {
    type: Type.String(),
    status: Type.Integer(),
    title: Type.String(),
    code: Type.String({ description: "Stable; see docs/errors.md." }),
    detail: Type.String({ description: "What to do." }),
    request_id: Type.Optional(Type.String({ description: "Of the request, in the edge's log and audit too." })),
    trace_id: Type.Optional(Type.String({ description: "Of the trace that `traceparent` named." })),
  },
  { $id: "Problem" },
);

export const DecryptedBatch = Body({ results: Type.Array(Type.Union([Decrypted, Body({ error: ProblemBody })])) });
export type DecryptedBatch = Static<typeof DecryptedBatch>;
