/** The event log, the newest first, and how many edges have applied each. */
import { html } from "../../base/web/html.ts";
import type { CoreAdmin } from "../admin.ts";
import type { EdgeState } from "../presence-views.ts";
import { CoreError } from "../protocol/core-error.ts";
import { scopeName } from "./forms.ts";
import { type PageParts, stateMark, table, time } from "./layout.ts";

const PAGE = 100;

export async function eventsPage(admin: CoreAdmin, query: URLSearchParams): Promise<PageParts> {
  const { lastSeq } = await admin.status();
  const until = Number(query.get("until") ?? lastSeq);
  if (!Number.isSafeInteger(until) || until < 0) {
    throw new CoreError("invalid_request", "until must be the number of an event");
  }
  const after = Math.max(0, until - PAGE);
  const [events, edges] = await Promise.all([admin.eventsAfter(after, until - after || 1), admin.edges()]);
  const following = edges.filter(({ streams }) => streams > 0);
  const shown = events.filter(({ seq }) => seq <= until).toReversed();
  return {
    title: "Events",
    path: "/events",
    body: html`
<p class="soft">${following.length} of ${edges.length} known edges follow the events now. Those that have applied one have confirmed it: what it revokes is refused there.</p>
${table(
  "Events, the newest first",
  ["number", "at", "what", "key", "applied by", "reason"],
  shown.map((event) => [
    event.seq,
    time(event.at),
    event.type === "revoke" ? html`revoke: ${stateMark(event.state)}` : event.type,
    scopeName(event),
    appliedBy(event.seq, following),
    event.type === "revoke" ? event.reason : "",
  ]),
)}
${after > 0 && html`<p><a href="/events?until=${after}">Older events</a></p>`}`,
  };
}

function appliedBy(event: number, following: readonly EdgeState[]): string {
  const has = (place: number | undefined): boolean => place !== undefined && place >= event;
  const applied = following.filter((edge) => has(edge.applied)).length;
  const told = following.filter((edge) => has(edge.seq)).length - applied;
  return `${applied} of ${following.length} edges${told > 0 ? `, ${told} told and not confirmed` : ""}`;
}
