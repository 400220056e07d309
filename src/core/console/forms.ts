/** Forms that change something: sent by the console's own pages alone, and read into what `CoreAdmin` takes. */
import { createHmac, timingSafeEqual } from "node:crypto";
import { type Html, html, isOwnRequest } from "../../base/web/html.ts";
import { CoreError } from "../protocol/core-error.ts";
import type { RevocationScope } from "../protocol/events.ts";

const FORM_TYPE = "application/x-www-form-urlencoded";
const VERSION = /^[1-9][0-9]{0,9}$/;
const MAX_VERSION = 2 ** 32 - 1;

/**
 * A browser sends a person's certificate or session with whatever any page asks: so a form must hold what only this console's pages hold.
 * It is of this person, and the same at every Core of one master key: behind one address, a page of one sends its form to another.
 */
export class Forms {
  readonly #token: string;

  /** @param secret shared by those Cores */
  constructor(secret: Uint8Array, subject: string) {
    this.#token = createHmac("sha256", secret).update(`form ${subject}`).digest("base64url");
  }

  /** To be put into every form. */
  get token(): Html {
    return html`<input type="hidden" name="token" value="${this.#token}">`;
  }

  /** @throws CoreError `not_allowed` for what another page sent */
  read(request: Request, body: unknown): URLSearchParams {
    if (!isOwnRequest((name) => request.headers.get(name) ?? undefined)) {
      throw new CoreError("not_allowed", "another page sent this: open the console and do it there");
    }
    if (request.headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase() !== FORM_TYPE) {
      throw new CoreError("invalid_request", "the body is no form");
    }
    const fields = new URLSearchParams(typeof body === "string" ? body : "");
    if (!isSame(fields.get("token") ?? "", this.#token)) {
      throw new CoreError(
        "not_allowed",
        "this page was made for somebody else, or before the master key was changed: load it again",
      );
    }
    return fields;
  }
}

function isSame(given: string, token: string): boolean {
  const [one, other] = [Buffer.from(given), Buffer.from(token)];
  return one.length === other.length && timingSafeEqual(one, other);
}

/** What a form or an address is about: a tenant, a service of it, or a version of that. @throws CoreError */
export function scopeOf(fields: URLSearchParams): RevocationScope {
  const tenant = fields.get("tenant")?.trim();
  const service = fields.get("service")?.trim();
  const version = fields.get("version")?.trim();
  if (!tenant) throw new CoreError("invalid_request", "name the tenant");
  if (!version) return { tenant, ...(service ? { service } : {}) };
  if (!service) throw new CoreError("invalid_request", "a version belongs to a service: name the service too");
  if (!VERSION.test(version) || Number(version) > MAX_VERSION) {
    throw new CoreError("invalid_request", `a version is a number from 1 to ${MAX_VERSION}`);
  }
  return { tenant, service, version: Number(version) };
}

/** @throws CoreError */
export function serviceOf(fields: URLSearchParams): { readonly tenant: string; readonly service: string } {
  const { tenant, service } = scopeOf(fields);
  if (service === undefined) throw new CoreError("invalid_request", "name the service");
  return { tenant, service };
}

/** `tenant-a`, `tenant-a/billing`, `tenant-a/billing/2`: what a person types to confirm. */
export function scopeName({ tenant, service, version }: RevocationScope): string {
  return [tenant, service, version].filter((part) => part !== undefined).join("/");
}

/** The scope as fields of a form. */
export function scopeFields({ tenant, service, version }: RevocationScope): Html {
  return html`<input type="hidden" name="tenant" value="${tenant}">${service !== undefined && html`<input type="hidden" name="service" value="${service}">`}${version !== undefined && html`<input type="hidden" name="version" value="${version}">`}`;
}

/** The scope as a query. */
export function scopeQuery({ tenant, service, version }: RevocationScope): string {
  return new URLSearchParams({
    tenant,
    ...(service === undefined ? {} : { service }),
    ...(version === undefined ? {} : { version: String(version) }),
  }).toString();
}
