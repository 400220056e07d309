/** `/core/v1/admin/…` (docs/core.md): an Elysia app over the service layer, for administrators' certificates. */
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { Elysia } from "elysia";
import { writeJsonList } from "../base/json/write-list.ts";
import { NAME_PATTERN } from "../base/names.ts";
import { yieldToEventLoop } from "../base/time/turns.ts";
import type { CoreAdmin } from "./admin.ts";
import { CoreError } from "./protocol/core-error.ts";
import type { RevocationScope } from "./protocol/events.ts";

const Name = Type.String({ pattern: NAME_PATTERN });
const strict = { additionalProperties: false };
const Version = Type.Integer({ minimum: 1, maximum: 2 ** 32 - 1 });
const scope = { tenant: Name, service: Type.Optional(Name), version: Type.Optional(Version) };
const TenantBody = Type.Object({ tenant: Name }, strict);
const ServiceBody = Type.Object({ tenant: Name, service: Name }, strict);
const ScopeBody = Type.Object(scope, strict);
const RevocationBody = Type.Object(
  {
    ...scope,
    reason: Type.Optional(Type.String({ minLength: 1, maxLength: 500 })),
    rotate: Type.Optional(Type.Boolean()),
  },
  strict,
);

const PREFIX = "/core/v1/admin";
const MAX_LIMIT = 10_000;

export interface AdminApp {
  /** Answers a call of someone who was found to be an administrator. */
  handle(request: Request): Promise<Response>;
}

/** `answerError`: how the Core says what is wrong; everything that is thrown goes through it. */
export function createAdminApp(admin: CoreAdmin, answerError: (error: unknown) => Response): AdminApp {
  const app = new Elysia({ prefix: PREFIX, normalize: false, strictPath: true }).onError(({ code, error, request }) => {
    if (code === "NOT_FOUND") {
      const path = new URL(request.url).pathname.slice(PREFIX.length + 1, PREFIX.length + 101);
      return answerError(new CoreError("not_found", `there is no administration call ${request.method} ${path}`));
    }
    if (code === "PARSE") return answerError(new CoreError("invalid_request", "the body is not JSON"));
    return answerError(error);
  });

  const get = (path: string, read: (query: URLSearchParams) => Promise<unknown>): void => {
    app.get(path, async ({ request }) => Response.json(await read(new URL(request.url).searchParams)));
  };
  const list = (path: string, name: string, read: (query: URLSearchParams) => Promise<readonly object[]>): void => {
    app.get(path, async ({ request }) =>
      jsonResponse(await jsonList(name, await read(new URL(request.url).searchParams))),
    );
  };
  const post = <Schema extends TSchema>(
    path: string,
    schema: Schema,
    success: 200 | 201,
    act: (body: Static<Schema>) => Promise<unknown>,
  ): void => {
    const check = TypeCompiler.Compile(schema);
    app.post(
      path,
      async ({ body }) => {
        if (!check.Check(body)) throw malformed(check, body);
        const answer = await act(body);
        return answer instanceof Response ? answer : Response.json(answer, { status: success });
      },
      { parse: "json" },
    );
  };

  get("/status", () => admin.status());
  list("/tenants", "tenants", () => admin.tenants());
  post("/tenants", TenantBody, 201, async ({ tenant }) => {
    await admin.createTenant(tenant);
    return { tenant };
  });
  list("/services", "services", (query) => admin.services(query.get("tenant") ?? ""));
  post("/services", ServiceBody, 201, async ({ tenant, service }) => {
    await admin.createService(tenant, service);
    return { tenant, service, version: 1 };
  });
  post("/rotate", ServiceBody, 200, async ({ tenant, service }) => ({
    events: [await admin.rotate(tenant, service)],
  }));
  for (const act of ["revoke", "destroy"] as const) {
    post(`/${act}`, RevocationBody, 200, async ({ reason, rotate, ...rest }) => {
      const options = { ...(reason === undefined ? {} : { reason }), ...(rotate === undefined ? {} : { rotate }) };
      return { events: await admin[act](rest as RevocationScope, options) };
    });
  }
  post("/restore", ScopeBody, 200, async (body) => ({ events: [await admin.restore(body as RevocationScope)] }));
  post("/impact", ScopeBody, 200, async (body) => {
    const { edges, ...rest } = await admin.impact(body as RevocationScope);
    const list = await jsonList("edges", edges);
    return jsonResponse(Buffer.concat([Buffer.from(`${JSON.stringify(rest).slice(0, -1)},`), list.subarray(1)]));
  });
  list("/edges", "edges", () => admin.edges());
  list("/usage", "usage", (query) => admin.usage(limitOf(query)));
  list("/audit", "events", (query) => {
    const edge = query.get("edge") ?? undefined;
    const since = query.get("since") ?? undefined;
    if (since !== undefined && Number.isNaN(Date.parse(since))) {
      throw new CoreError("invalid_request", "since must be a time such as 2026-01-31T12:00:00Z");
    }
    return admin.auditEvents({
      limit: limitOf(query),
      ...(edge === undefined ? {} : { edge }),
      ...(since === undefined ? {} : { since: new Date(since).toISOString() }),
    });
  });
  list("/events", "events", (query) => {
    const after = Number(query.get("after") ?? 0);
    if (!Number.isSafeInteger(after) || after < 0) {
      throw new CoreError("invalid_request", "after must be a number from 0");
    }
    return admin.eventsAfter(after, limitOf(query));
  });
  post(
    "/signing-keys",
    Type.Object({ withdraw: Type.Optional(Type.Boolean()) }, strict),
    201,
    async ({ withdraw }) => ({
      kid: await admin.rollSigningKey({ withdraw: withdraw === true }),
    }),
  );
  post("/master-key", Type.Object({}, strict), 200, () => admin.rotateMasterKey());
  return { handle: async (request) => app.handle(request) };
}

/** `{"NAME":[…]}`, however long, in turns with the calls of edges. */
function jsonList(name: string, items: readonly object[]): Buffer | Promise<Buffer> {
  return writeJsonList(name, items, (item) => JSON.stringify(item), yieldToEventLoop);
}

function jsonResponse(json: Buffer): Response {
  return new Response(json as Uint8Array<ArrayBuffer>, {
    headers: { "content-type": "application/json;charset=utf-8" },
  });
}

function limitOf(query: URLSearchParams): number {
  const limit = Number(query.get("limit") ?? 1_000);
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    throw new CoreError("invalid_request", `limit must be from 1 to ${MAX_LIMIT}`);
  }
  return limit;
}

function malformed(
  check: { Errors(value: unknown): { First(): { path: string; message: string } | undefined } },
  body: unknown,
): CoreError {
  const error = check.Errors(body).First();
  const where = error?.path ? ` at ${error.path.slice(1)}: ${error.message}` : "";
  return new CoreError("invalid_request", `the request is malformed${where}`);
}
