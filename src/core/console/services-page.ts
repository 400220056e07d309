/** Tenants, their services and key versions, and the buttons that change them. */
import { type Html, html } from "../../base/web/html.ts";
import type { CoreAdmin } from "../admin.ts";
import type { RevocationScope } from "../protocol/events.ts";
import type { ServiceSummary, TenantSummary } from "../protocol/key-state.ts";
import { type Forms, scopeFields, scopeName, scopeQuery } from "./forms.ts";
import { type PageParts, stateMark, table, time } from "./layout.ts";

/** What was done, by the word in the address: nothing that a link says becomes a message. */
const DONE: Readonly<Record<string, string>> = {
  create: "The service is made, with version 1 active.",
  rotate: "A new version is active; data keys under older ones open on.",
  revoke: "It is revoked: every edge that follows this Core wipes it now.",
  destroy: "It is destroyed: its keys are erased for good.",
  restore: "It may be used again.",
};
const NAME = "[A-Za-z0-9][A-Za-z0-9._:\\-]*";

/** Without `forms` nothing can be changed. */
export async function servicesPage(
  admin: CoreAdmin,
  forms: Forms | undefined,
  query: URLSearchParams,
): Promise<PageParts> {
  const tenants = await admin.tenants();
  const tenant = tenants.find((each) => each.tenant === query.get("tenant"));
  const services = tenant === undefined ? [] : await admin.services(tenant.tenant);
  const service = services.find((each) => each.service === query.get("service"));
  return {
    title: service !== undefined ? scopeName(nameOf(service)) : tenant !== undefined ? tenant.tenant : "Services",
    path: "/services",
    body: html`
${doneMessage(query)}
${
  service !== undefined
    ? await serviceSection(forms, service)
    : tenant !== undefined
      ? await tenantSection(forms, tenant, services)
      : await tenantsSection(tenants)
}
${forms !== undefined && service === undefined && creation(forms, tenant?.tenant ?? "")}`,
  };
}

function creation(forms: Forms, tenant: string): Html {
  return html`<h2>Create a service</h2>
<form class="row" method="post" action="/services">
${forms.token}
<label>Tenant <input name="tenant" value="${tenant}" required pattern="${NAME}" maxlength="128" autocomplete="off"></label>
<label>Service <input name="service" required pattern="${NAME}" maxlength="128" autocomplete="off"></label>
<button>Create</button>
</form>
<p class="soft">The tenant is made too where it is new.</p>`;
}

function doneMessage(query: URLSearchParams): Html | undefined {
  const done = query.get("done") ?? "";
  if (!Object.hasOwn(DONE, done)) return undefined;
  const seq = /^\d{1,16}$/.exec(query.get("seq") ?? "")?.[0];
  return html`<p role="status" class="good">${DONE[done]}${seq !== undefined && html` It is event ${seq}: <a href="/events">see who was told</a>.`}</p>`;
}

function tenantsSection(tenants: readonly TenantSummary[]): Promise<Html> {
  return table("Tenants", ["tenant", "state", "services"], tenants, ({ tenant, state, services }) => [
    html`<a href="/services?${scopeQuery({ tenant })}">${tenant}</a>`,
    stateMark(state),
    services,
  ]);
}

async function tenantSection(
  forms: Forms | undefined,
  { tenant, state }: TenantSummary,
  services: readonly ServiceSummary[],
): Promise<Html> {
  return html`
<p><a href="/services">All tenants</a></p>
<p>The tenant is ${stateMark(state)}. ${endings(forms, { tenant }, state)}</p>
${await table(`Services of ${tenant}`, ["service", "state", "active version", "versions"], services, (each) => [
  html`<a href="/services?${scopeQuery(nameOf(each))}">${each.service}</a>`,
  stateMark(each.state),
  each.versions.findLast(({ state: is }) => is === "active")?.version ?? html`<span class="warn">none</span>`,
  each.versions.length,
])}`;
}

async function serviceSection(forms: Forms | undefined, summary: ServiceSummary): Promise<Html> {
  const scope = nameOf(summary);
  return html`
<p><a href="/services?${scopeQuery({ tenant: scope.tenant })}">All services of ${scope.tenant}</a></p>
<p>The service is ${stateMark(summary.state)}.</p>
<div class="actions">${
    forms !== undefined &&
    summary.state === "active" &&
    html`<form class="row" method="post" action="/rotate">${forms.token}${scopeFields(scope)}<button>Rotate<span class="hidden"> ${scopeName(scope)}</span></button></form>`
  }${endings(forms, scope, summary.state)}</div>
${await table(
  `Key versions of ${scopeName(scope)}`,
  ["version", "state", "made", ...(forms === undefined ? [] : ["change"])],
  summary.versions.toReversed(),
  ({ version, state, createdAt }) => [
    version,
    stateMark(state),
    time(createdAt),
    ...(forms === undefined ? [] : [endings(forms, { ...scope, version }, state)]),
  ],
)}`;
}

function nameOf({ tenant, service }: ServiceSummary): { readonly tenant: string; readonly service: string } {
  return { tenant, service };
}

/** What can be done with something in this state. The name in each button is for those who hear the page. */
function endings(forms: Forms | undefined, scope: RevocationScope, state: string): Html {
  const name = html`<span class="hidden"> ${scopeName(scope)}</span>`;
  if (forms === undefined || state === "destroyed") return html``;
  return html`<span class="actions">${
    state === "compromised"
      ? html`<form class="row" method="post" action="/restore">${forms.token}${scopeFields(scope)}<button>Restore${name}</button></form>`
      : html`<a href="/revoke?${scopeQuery(scope)}">Revoke…${name}</a>`
  }<a href="/destroy?${scopeQuery(scope)}">Destroy…${name}</a></span>`;
}
