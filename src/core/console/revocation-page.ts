/** Before a key is cut off: what it would hit, why it is done, and a confirmation that is typed. */
import { type Html, html } from "../../base/web/html.ts";
import type { CoreAdmin } from "../admin.ts";
import type { Impact } from "../impact.ts";
import type { RevocationScope } from "../protocol/events.ts";
import type { UsageTotal } from "../store/usage-tables.ts";
import { type Forms, scopeFields, scopeName, scopeQuery } from "./forms.ts";
import { type PageParts, table, time } from "./layout.ts";

export const ENDINGS = ["revoke", "destroy"] as const;
export type Ending = (typeof ENDINGS)[number];

const TEXTS: Readonly<Record<Ending, { readonly title: string; readonly effect: string }>> = {
  revoke: {
    title: "Revoke",
    effect: "Every edge wipes it and refuses what it wrapped, until it is restored.",
  },
  destroy: {
    title: "Destroy",
    effect: "Its keys are erased for good: what was wrapped under it can never be opened again, by anyone.",
  },
};
/** The newest sums that are looked through. */
const USAGE_LIMIT = 10_000;
const MAX_ROWS = 50;

export interface EndingParts {
  readonly admin: CoreAdmin;
  readonly forms: Forms;
}

export async function endingPage(
  { admin, forms }: EndingParts,
  ending: Ending,
  scope: RevocationScope,
): Promise<PageParts> {
  // One after the other: each is read from the database in turns of its own.
  const usage = await admin.usage(USAGE_LIMIT);
  const impact = await admin.impact(scope);
  const hit = usage.filter((each) => isWithin(scope, each));
  const { title, effect } = TEXTS[ending];
  const name = scopeName(scope);
  return {
    title: `${title} ${name}`,
    path: "/services",
    body: html`
<p class="bad">${effect}</p>
${await impactSection(impact)}
${await usageTable(hit)}
<form method="post" action="/${ending}">
${forms.token}${scopeFields(scope)}
<p><label for="reason">Reason (it is told to every edge and kept in the event log)</label><br>
<input id="reason" name="reason" required maxlength="500" size="50" autocomplete="off"></p>
${
  scope.version !== undefined &&
  html`<p><label class="check"><input type="checkbox" name="rotate" value="yes"> make a new active version at the same time</label></p>`
}
<p><label for="confirmation">To confirm, type ${name}</label><br>
<input id="confirmation" name="confirmation" required size="50" autocomplete="off" autocapitalize="off" spellcheck="false"></p>
<p><button class="danger">${title}</button> <a href="/services?${scopeQuery({ tenant: scope.tenant })}">Cancel</a></p>
</form>`,
  };
}

async function impactSection({ since, operations, known, following, edges }: Impact): Promise<Html> {
  const holding = edges.filter(({ leaseEndsAt }) => leaseEndsAt !== undefined);
  const told = holding.filter(({ follows }) => follows).length;
  return html`<h2>What it hits now</h2>
<p><b>${holding.length}</b> ${holding.length === 1 ? "edge holds" : "edges hold"} a lease of it: ${told} of them follow the events and are told at once, the others learn of it when
they renew. <b>${operations}</b> operations were reported in the last hour, since ${time(since)}. ${following} of ${known} known edges follow the events now and are told; the events' page shows which of them have applied it.</p>
${await table(
  "Edges that it hits",
  ["edge", "told", "lease of versions", "lease ends", "operations in the last hour"],
  edges.slice(0, MAX_ROWS),
  ({ edge, follows, versions, leaseEndsAt, operations: count }) => [
    edge,
    leaseEndsAt === undefined
      ? "it holds no lease"
      : follows
        ? html`<span class="good">at once</span>`
        : html`<span class="warn">when it renews</span>`,
    versions.join(", "),
    leaseEndsAt === undefined ? "" : time(leaseEndsAt),
    count,
  ],
)}
${edges.length > MAX_ROWS && html`<p>and ${edges.length - MAX_ROWS} more edges.</p>`}`;
}

function isWithin(scope: RevocationScope, { tenant, service, version }: UsageTotal): boolean {
  return (
    tenant === scope.tenant &&
    (scope.service === undefined || service === scope.service) &&
    (scope.version === undefined || version === scope.version)
  );
}

async function usageTable(hit: readonly UsageTotal[]): Promise<Html> {
  const total = hit.reduce((sum, { count }) => sum + count, 0);
  return html`<h2>Who has used it</h2>
<p>${total} operations were reported by ${new Set(hit.map(({ edge }) => edge)).size} edges so far. Edges report with a delay.</p>
${await table(
  "Use, the last first",
  ["edge", "principal", "service", "version", "operation", "outcome", "operations", "last used"],
  hit.slice(0, MAX_ROWS),
  (each) => [
    each.edge,
    each.principal,
    each.service,
    each.version,
    each.operation,
    each.outcome,
    each.count,
    time(each.to),
  ],
)}`;
}
