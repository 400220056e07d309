/** `/core/v1/admin/…` (docs/core.md): the reference Core's own calls, for administrators' certificates. */
import { Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { NAME_PATTERN } from "../base/names.ts";
import type { RevocationScope } from "../edge/cache/lease-cache.ts";
import type { CoreAdmin } from "./admin.ts";
import { CoreError } from "./core-error.ts";

const Name = Type.String({ pattern: NAME_PATTERN });
const strict = { additionalProperties: false };
const Version = Type.Integer({ minimum: 1, maximum: 2 ** 32 - 1 });
const isTenant = TypeCompiler.Compile(Type.Object({ tenant: Name }, strict));
const isService = TypeCompiler.Compile(Type.Object({ tenant: Name, service: Name }, strict));
const scope = { tenant: Name, service: Type.Optional(Name), version: Type.Optional(Version) };
const isScope = TypeCompiler.Compile(Type.Object(scope, strict));
const isRevocation = TypeCompiler.Compile(
  Type.Object(
    {
      ...scope,
      reason: Type.Optional(Type.String({ minLength: 1, maxLength: 500 })),
      rotate: Type.Optional(Type.Boolean()),
    },
    strict,
  ),
);

export interface AdminAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** @throws CoreError */
export async function adminCall(admin: CoreAdmin, method: string, url: URL, body: unknown): Promise<AdminAnswer> {
  const path = url.pathname.slice("/core/v1/admin/".length);
  switch (`${method} ${path}`) {
    case "GET tenants":
      return ok({ tenants: admin.tenants() });
    case "POST tenants": {
      if (!isTenant.Check(body)) throw malformed(isTenant, body);
      admin.createTenant(body.tenant);
      return created({ tenant: body.tenant });
    }
    case "GET services":
      return ok({ services: admin.services(url.searchParams.get("tenant") ?? "") });
    case "POST services": {
      if (!isService.Check(body)) throw malformed(isService, body);
      admin.createService(body.tenant, body.service);
      return created({ tenant: body.tenant, service: body.service, version: 1 });
    }
    case "POST rotate": {
      if (!isService.Check(body)) throw malformed(isService, body);
      return ok({ events: [admin.rotate(body.tenant, body.service)] });
    }
    case "POST revoke":
    case "POST destroy": {
      if (!isRevocation.Check(body)) throw malformed(isRevocation, body);
      const { reason, rotate, ...rest } = body;
      const options = { ...(reason === undefined ? {} : { reason }), ...(rotate === undefined ? {} : { rotate }) };
      const act = path === "revoke" ? admin.revoke : admin.destroy;
      return ok({ events: act(rest as RevocationScope, options) });
    }
    case "POST restore": {
      if (!isScope.Check(body)) throw malformed(isScope, body);
      return ok({ events: [admin.restore(body as RevocationScope)] });
    }
    case "GET edges":
      return ok({ edges: admin.edges() });
    case "GET usage":
      return ok({ usage: admin.usage(limitOf(url)) });
    case "GET audit":
      return ok({ events: admin.auditEvents(limitOf(url)) });
    case "GET events": {
      const after = Number(url.searchParams.get("after") ?? 0);
      if (!Number.isSafeInteger(after) || after < 0)
        throw new CoreError("invalid_request", "after must be a number from 0");
      return ok({ events: admin.eventsAfter(after, limitOf(url)) });
    }
    case "POST signing-keys":
      return created({ kid: await admin.rollSigningKey() });
    default:
      throw new CoreError("not_found", `there is no administration call ${method} ${path.slice(0, 100)}`);
  }
}

const ok = (body: unknown): AdminAnswer => ({ status: 200, body });
const created = (body: unknown): AdminAnswer => ({ status: 201, body });

function limitOf(url: URL): number {
  const limit = Number(url.searchParams.get("limit") ?? 1_000);
  if (!Number.isInteger(limit) || limit < 1 || limit > 10_000) {
    throw new CoreError("invalid_request", "limit must be from 1 to 10000");
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
