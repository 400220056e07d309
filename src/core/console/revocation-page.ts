/** Before a key is cut off: what it would hit, why it is done, and a confirmation that is typed. */
import { type Html, html } from "../../base/web/html.ts";
import type { CoreAdmin } from "../admin.ts";
import type { RevocationScope } from "../protocol/events.ts";
import type { UsageTotal } from "../store/usage-tables.ts";
import { type Forms, scopeFields, scopeName, scopeQuery } from "./forms.ts";
import { pageResponse, table, time } from "./layout.ts";

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

export async function endingPage(
  admin: CoreAdmin,
  forms: Forms,
  ending: Ending,
  scope: RevocationScope,
): Promise<Response> {
  const [usage, edges] = await Promise.all([admin.usage(USAGE_LIMIT), admin.edges()]);
  const hit = usage.filter((each) => isWithin(scope, each));
  const { title, effect } = TEXTS[ending];
  const name = scopeName(scope);
  const following = edges.filter(({ streams }) => streams > 0).length;
  return pageResponse({
    title: `${title} ${name}`,
    path: "/services",
    body: html`
<p class="bad">${effect}</p>
<p>${following} of ${edges.length} known edges follow the events now and are told at once; the events' page shows which of them have applied it. The others learn of it when they renew a lease.</p>
${usageTable(hit)}
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
  });
}

function isWithin(scope: RevocationScope, { tenant, service, version }: UsageTotal): boolean {
  return (
    tenant === scope.tenant &&
    (scope.service === undefined || service === scope.service) &&
    (scope.version === undefined || version === scope.version)
  );
}

function usageTable(hit: readonly UsageTotal[]): Html {
  const total = hit.reduce((sum, { count }) => sum + count, 0);
  return html`<h2>Who used it</h2>
<p>${total} operations were reported by ${new Set(hit.map(({ edge }) => edge)).size} edges so far. Edges report with a delay.</p>
${table(
  "Use, the last first",
  ["edge", "principal", "service", "version", "operation", "outcome", "operations", "last used"],
  hit
    .slice(0, MAX_ROWS)
    .map((each) => [
      each.edge,
      each.principal,
      each.service,
      each.version,
      each.operation,
      each.outcome,
      each.count,
      time(each.to),
    ]),
)}`;
}
