/** The OpenAPI 3.1 document, made from the same schemas that check the bodies (TypeBox's are JSON Schema already). */
import type { TSchema } from "@sinclair/typebox";
import { type ErrorCode, HTTP_STATUS } from "../errors.ts";
import { VERSION } from "../version.ts";
import {
  CreateBatchBody,
  CreateBody,
  Created,
  CreatedBatch,
  DecryptBatchBody,
  Decrypted,
  DecryptedBatch,
  ProblemBody,
  Rewrapped,
  WrappedBody,
} from "./schemas.ts";

const EVERY_OPERATION: readonly ErrorCode[] = [
  "invalid_request",
  "unauthenticated",
  "access_denied",
  "refused_by_hook",
  "key_not_found",
  "key_revoked",
  "too_large",
  "rate_limited",
  "lease_unavailable",
];
const OPENING: readonly ErrorCode[] = [...EVERY_OPERATION, "invalid_blob", "decryption_failed"];

const json = (schema: TSchema | object) => ({ "application/json": { schema } });
const bytes = { "application/octet-stream": { schema: { type: "string", format: "binary" } } };

function operation(
  operationId: string,
  summary: string,
  body: TSchema,
  status: number,
  answer: TSchema,
  codes: readonly ErrorCode[],
  asBytes = false,
) {
  const extra = asBytes ? bytes : {};
  return {
    post: {
      operationId,
      summary,
      requestBody: { required: true, content: { ...json(body), ...extra } },
      responses: {
        [status]: { description: "Done.", content: { ...json(answer), ...extra } },
        ...problems(codes),
      },
    },
  };
}

function problems(codes: readonly ErrorCode[]): Record<string, unknown> {
  const byStatus = Map.groupBy(codes, (code) => HTTP_STATUS[code]);
  return Object.fromEntries(
    [...byStatus].map(([status, of]) => [
      status,
      {
        description: of.map((code) => `\`${code}\``).join(", "),
        content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
      },
    ]),
  );
}

function probe(operationId: string, summary: string, statuses: readonly number[] = [200]) {
  const content = json({ type: "object" });
  return {
    get: {
      operationId,
      summary,
      responses: Object.fromEntries(statuses.map((status) => [status, { description: summary, content }])),
    },
  };
}

export function openApiDocument(): object {
  const { $id: _, ...problemSchema } = ProblemBody;
  const document = {
    openapi: "3.1.0",
    info: {
      title: "crypto-edge",
      version: VERSION,
      description:
        "Makes and opens data keys under service keys leased from a Core. Nothing is stored: keep `wrapped` with your data.",
    },
    paths: {
      "/v1/keys/create": operation(
        "createKey",
        "Make a data key and wrap it",
        CreateBody,
        201,
        Created,
        EVERY_OPERATION,
      ),
      "/v1/keys/decrypt": operation("decryptKey", "Open a wrapped key", WrappedBody, 200, Decrypted, OPENING),
      "/v1/keys/rewrap": operation(
        "rewrapKey",
        "Wrap the same data key under the active version",
        WrappedBody,
        200,
        Rewrapped,
        OPENING,
      ),
      "/v1/keys/create-batch": operation(
        "createKeys",
        "Make many data keys",
        CreateBatchBody,
        201,
        CreatedBatch,
        EVERY_OPERATION,
        true,
      ),
      "/v1/keys/decrypt-batch": operation(
        "decryptKeys",
        "Open many wrapped keys",
        DecryptBatchBody,
        200,
        DecryptedBatch,
        EVERY_OPERATION,
        true,
      ),
      "/livez": probe("livez", "Whether the process runs"),
      "/readyz": probe("readyz", "Whether the edge can serve", [200, 503]),
      "/v1/status": probe("status", "What the edge holds and how it is"),
      "/openapi.json": probe("openapi", "This document"),
    },
    components: { schemas: { Problem: problemSchema } },
  };
  // The problem's schema inside other schemas becomes a reference; the copy drops TypeBox's symbols.
  return JSON.parse(
    JSON.stringify(document, (_key, value) =>
      value === ProblemBody ? { $ref: "#/components/schemas/Problem" } : value,
    ),
  );
}
