/** The bodies of the API (design.md, "The API"), as TypeBox schemas: validation, types and OpenAPI come from here. */
import { type SchemaOptions, type Static, Type } from "@sinclair/typebox";
import { NAME_PATTERN } from "../../../base/names.ts";
import { BLOB_LENGTH_MAX, VALUE_BLOB_LENGTH_MAX, VALUE_LENGTH_MAX } from "../../cipher/blob.ts";
import { CONTEXT_BYTES_MAX, CONTEXT_ENTRIES_MAX } from "../../cipher/context.ts";
import { BATCH_MAX } from "../../operations/kinds.ts";

const Body: typeof Type.Object = (properties, options) =>
  Type.Object(properties, { additionalProperties: false, ...options });

/** Bytes as base64url without padding. */
const Bytes = (bytesMax: number | undefined, description: string) =>
  Type.String({
    contentEncoding: "base64url",
    ...(bytesMax === undefined ? {} : { maxLength: Math.ceil((bytesMax * 4) / 3) }),
    description,
  });

const Name = (options: SchemaOptions) => Type.String({ pattern: NAME_PATTERN, ...options });
const Tenant = Name({ description: "The tenant." });
const Service = Name({ default: "default", description: "The service." });
const Version = Type.Integer({ minimum: 1, maximum: 2 ** 32 - 1, description: "The service key's version." });
const Plaintext = Bytes(undefined, "The data key, base64url. Wipe it after use.");
const WrappedKey = Bytes(BLOB_LENGTH_MAX, "The wrapped key, base64url without padding. Store it beside the data.");
const WrappedValue = Bytes(
  VALUE_BLOB_LENGTH_MAX,
  "The encrypted value, base64url without padding. Store it in the value's place.",
);
const WrappedEither = Bytes(VALUE_BLOB_LENGTH_MAX, "A wrapped key or an encrypted value, base64url without padding.");
const Context = Type.Record(Type.String({ minLength: 1 }), Type.String(), {
  maxProperties: CONTEXT_ENTRIES_MAX,
  description: `Strings to bind to; give them again, equal, to open it. At most ${CONTEXT_BYTES_MAX} bytes encoded.`,
});
const CacheSeconds = Type.Integer({
  minimum: 0,
  description: "How long the plaintext may be kept, in seconds; 0: not at all. Revocations end it sooner.",
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

export const DecryptBody = Body({ wrapped: WrappedKey, context: Type.Optional(Context) });
const DecryptValueBody = Body({ wrapped: WrappedValue, context: Type.Optional(Context) });
const RewrapBody = Body({ wrapped: WrappedEither, context: Type.Optional(Context) });
/** All three have one shape. */
export type WrappedBody = Static<typeof RewrapBody>;

export const EncryptValueBody = Body({
  tenant: Tenant,
  service: Type.Optional(Service),
  value: Bytes(VALUE_LENGTH_MAX, `The value, base64url without padding: 1 to ${VALUE_LENGTH_MAX} bytes.`),
  context: Type.Optional(Context),
});
export type EncryptValueBody = Static<typeof EncryptValueBody>;

export const Created = Body({
  wrapped: WrappedKey,
  version: Version,
  plaintext: Type.Optional(Plaintext),
  cache_seconds: Type.Optional(CacheSeconds),
});
export type Created = Static<typeof Created>;

const CreatedBatch = Body({ keys: Type.Array(Created) });
export type CreatedBatch = Static<typeof CreatedBatch>;

const opened = { tenant: Tenant, service: Name({}), version: Version, cache_seconds: CacheSeconds };

export const Decrypted = Body({ plaintext: Plaintext, ...opened });
export type Decrypted = Static<typeof Decrypted>;

export const DecryptedValue = Body({ value: Bytes(undefined, "The value, base64url."), ...opened });
export type DecryptedValue = Static<typeof DecryptedValue>;

export const EncryptedValue = Body({ wrapped: WrappedValue, version: Version });
export type EncryptedValue = Static<typeof EncryptedValue>;

export const Rewrapped = Body({
  wrapped: WrappedEither,
  tenant: Tenant,
  service: Name({}),
  version: Version,
  was_active: Type.Boolean({ description: "Whether it was under the active version already." }),
});
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

/** The bodies of batches: so many of what one call takes, and each with its answer or its own problem. */
export const Items = <Item extends Parameters<typeof Type.Array>[0]>(item: Item) =>
  Body({ items: Type.Array(item, { minItems: 1, maxItems: BATCH_MAX }) });
export const Results = <Answer extends Parameters<typeof Type.Array>[0]>(answer: Answer) =>
  Body({ results: Type.Array(Type.Union([answer, Body({ error: ProblemBody })])) });

/** By the names that the table of routes gives. */
export const SCHEMAS = {
  CreateBody,
  CreateBatchBody,
  DecryptBody,
  DecryptValueBody,
  RewrapBody,
  EncryptValueBody,
  Created,
  CreatedBatch,
  Decrypted,
  DecryptedValue,
  EncryptedValue,
  Rewrapped,
};
