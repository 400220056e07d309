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
  const progress = progressOf(following);
  const shown = events.filter(({ seq }) => seq <= until).toReversed();
  return {
    title: "Events",
    path: "/events",
    body: html`
<p class="soft">${following.length} of ${edges.length} known edges follow the events now. Those that have applied one have confirmed it: what it revokes is refused there.</p>
${await table("Events, the newest first", ["number", "at", "what", "key", "applied by", "reason"], shown, (event) => [
  event.seq,
  time(event.at),
  event.type === "revoke" ? html`revoke: ${stateMark(event.state)}` : event.type,
  scopeName(event),
  appliedBy(event.seq, progress),
  event.type === "revoke" ? event.reason : "",
])}
${after > 0 && html`<p><a href="/events?until=${after}">Older events</a></p>`}`,
  };
}

/** How far the edges have come that follow the events, each list in its order: of 10,000 edges, each event asks for itself. */
interface Progress {
  readonly following: number;
  readonly applied: Float64Array;
  readonly told: Float64Array;
}

function progressOf(following: readonly EdgeState[]): Progress {
  const sorted = (placeOf: (edge: EdgeState) => number | undefined): Float64Array =>
    Float64Array.from(following, (edge) => placeOf(edge) ?? -1).sort();
  return { following: following.length, applied: sorted(({ applied }) => applied), told: sorted(({ seq }) => seq) };
}

function appliedBy(event: number, { following, ...progress }: Progress): string {
  const applied = reached(event, progress.applied);
  const told = reached(event, progress.told) - applied;
  return `${applied} of ${following} edges${told > 0 ? `, ${told} told and not confirmed` : ""}`;
}

/** How many have come to an event, or further. */
function reached(event: number, places: Float64Array): number {
  let [below, end] = [0, places.length];
  while (below < end) {
    const middle = (below + end) >> 1;
    if (places[middle]! < event) below = middle + 1;
    else end = middle;
  }
  return places.length - below;
}
