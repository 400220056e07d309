/** The OpenAPI 3.1 document, made from the same schemas that check the bodies (TypeBox's are JSON Schema already). */
import type { TSchema } from "@sinclair/typebox";
import type { ErrorCode, HttpErrorCode } from "../../../base/errors.ts";
import { VERSION } from "../../../base/version.ts";
import { schemasOf } from "./check-body.ts";
import { GET_ROUTES, type GetRoute } from "./get-routes.ts";
import type { OperationRoute } from "./route.ts";
import { ROUTES } from "./routes.ts";
import { ProblemBody } from "./schemas.ts";

interface Refusal {
  readonly status: number;
  readonly code: ErrorCode | HttpErrorCode;
  readonly when: string;
  /**
   * Where it may come: at any path; at the key operations; at those that open one wrapped key; at what is served only where
   * it is configured.
   */
  readonly at: "everywhere" | "operations" | "opening" | "configured";
}

/** Every way in which a request can fail to be answered as asked (docs/errors.md says what to do). */
export const REFUSALS: readonly Refusal[] = [
  { status: 400, code: "invalid_request", when: "the request or its body is malformed", at: "everywhere" },
  { status: 400, code: "invalid_blob", when: "`wrapped` is no wrapped key", at: "opening" },
  { status: 401, code: "unauthenticated", when: "the caller is not known, or refused", at: "everywhere" },
  { status: 403, code: "access_denied", when: "the policy does not allow it", at: "operations" },
  { status: 403, code: "cross_site_request", when: "a web page of another site sent it", at: "everywhere" },
  { status: 403, code: "refused_by_hook", when: "a plugin's hook refused", at: "operations" },
  { status: 404, code: "key_not_found", when: "the key source knows no such key", at: "operations" },
  { status: 404, code: "not_found", when: "this listener does not serve the path", at: "configured" },
  { status: 405, code: "method_not_allowed", when: "the path takes another method", at: "everywhere" },
  { status: 410, code: "key_revoked", when: "the version is compromised or destroyed", at: "operations" },
  { status: 413, code: "too_large", when: "the body is too long", at: "everywhere" },
  { status: 415, code: "unsupported_media_type", when: "the body is no JSON by its content-type", at: "operations" },
  { status: 417, code: "invalid_request", when: "an expectation that is not met", at: "everywhere" },
  {
    status: 421,
    code: "misdirected_request",
    when: "a listener on loopback, called by another name",
    at: "everywhere",
  },
  { status: 422, code: "decryption_failed", when: "altered, or another context", at: "opening" },
  { status: 429, code: "rate_limited", when: "more than the caller's share", at: "everywhere" },
  { status: 431, code: "invalid_request", when: "the head of the request is too long", at: "everywhere" },
  { status: 500, code: "internal_error", when: "a defect of the edge", at: "everywhere" },
  { status: 503, code: "overloaded", when: "the listener has too much in flight", at: "everywhere" },
  { status: 503, code: "lease_unavailable", when: "no valid lease, and none to be had now", at: "operations" },
  { status: 505, code: "invalid_request", when: "another version of HTTP", at: "everywhere" },
];

const json = (schema: TSchema | object) => ({ "application/json": { schema } });
const bytes = { "application/octet-stream": { schema: { type: "string", format: "binary" } } };
const PROBLEM = { $ref: "#/components/schemas/Problem" };

const RETRY_AFTER = {
  "Retry-After": {
    description: "Seconds after which asking again can help.",
    schema: { type: "integer", minimum: 1 },
  },
};
const ALLOW = { Allow: { required: true, description: "What the path takes.", schema: { type: "string" } } };
const HEADERS: Readonly<Record<number, object>> = { 405: ALLOW, 429: RETRY_AFTER, 503: RETRY_AFTER };

type Responses = Record<string, { description: string; content: object; headers?: object }>;

/** The problems that may come at such places, by status. */
function problems(...places: readonly Refusal["at"][]): Responses {
  const byStatus = Map.groupBy(
    REFUSALS.filter(({ at }) => places.includes(at)),
    ({ status }) => status,
  );
  return Object.fromEntries(
    [...byStatus].map(([status, of]) => {
      const code = { enum: of.map((refusal) => refusal.code) };
      const headers = HEADERS[status];
      return [
        status,
        {
          description: of.map((refusal) => `\`${refusal.code}\`: ${refusal.when}.`).join(" "),
          ...(headers === undefined ? {} : { headers }),
          content: {
            "application/problem+json": {
              schema: { allOf: [PROBLEM, { type: "object", properties: { code, status: { const: status } } }] },
            },
          },
        },
      ];
    }),
  );
}

function operation(route: OperationRoute) {
  const { id, summary, success, opens, kind } = route;
  const { body, answer } = schemasOf(route);
  const extra = kind === "single" ? {} : bytes;
  // A batch is answered item by item: one that is no wrapped key does not refuse the request.
  const asked = kind === "items" ? copyOf(body) : withPatterns(body);
  return {
    post: {
      operationId: id,
      summary,
      requestBody: { required: true, content: { ...json(asked), ...extra } },
      responses: {
        [success]: { description: "Done.", content: { ...json(withPatterns(answer)), ...extra } },
        ...problems("everywhere", "operations", ...(opens ? (["opening"] as const) : [])),
      },
    },
  };
}

const CONTENT: Readonly<Record<GetRoute["content"], object>> = {
  json: json({ type: "object" }),
  text: { "text/plain": { schema: { type: "string" } } },
  events: { "text/event-stream": { schema: { type: "string" } } },
};

/** What is asked with GET. */
function getOperation({ id, summary, content, administration }: GetRoute) {
  const responses: Responses = {
    200: { description: summary, content: CONTENT[content] },
    ...problems("everywhere", ...(administration ? (["configured"] as const) : [])),
  };
  if (id === "readyz") {
    const refused = responses[503];
    responses[503] = {
      ...refused,
      description: `It can't; the answer says why. ${refused?.description ?? ""}`.trim(),
      content: { ...refused?.content, ...CONTENT.json },
    };
  }
  return { get: { operationId: id, summary, responses } };
}

export function openApiDocument(): object {
  const { $id: _, ...problemSchema } = ProblemBody;
  return {
    openapi: "3.1.0",
    info: {
      title: "crypto-edge",
      version: VERSION,
      description:
        "Makes and opens data keys under service keys leased from a Core. Nothing is stored: keep `wrapped` with your data. " +
        "A path that is not here is answered 404, `not_found`.",
    },
    paths: Object.fromEntries([
      ...ROUTES.map((route) => [route.path, operation(route)]),
      ...GET_ROUTES.map((route) => [route.path, getOperation(route)]),
    ]),
    components: { schemas: { Problem: copyOf(problemSchema) } },
  };
}

/** The problem's schema inside another becomes a reference; the copy drops TypeBox's symbols. */
function copyOf(schema: object, told: (value: unknown) => unknown = (value) => value): object {
  return JSON.parse(JSON.stringify(schema, (_key, value) => (value === ProblemBody ? PROBLEM : told(value))));
}

/** What is no base64url has an error of its own, `invalid_blob` for a wrapped key; so the pattern is told, and not checked with the schema. */
function withPatterns(schema: object): object {
  return copyOf(schema, (value) => {
    const { contentEncoding } = (value ?? {}) as { readonly contentEncoding?: unknown };
    return contentEncoding === "base64url" ? { ...(value as object), pattern: "^[A-Za-z0-9_-]*$" } : value;
  });
}
