/** The event log, the newest first, and which edges were told. */
import { html } from "../../base/web/html.ts";
import type { CoreAdmin } from "../admin.ts";
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
  const places = edges.flatMap(({ seq }) => (seq === undefined ? [] : [seq]));
  const shown = events.filter(({ seq }) => seq <= until).toReversed();
  return {
    title: "Events",
    path: "/events",
    body: html`
<p class="soft">${places.length} of ${edges.length} known edges follow the events now.</p>
${table(
  "Events, the newest first",
  ["number", "at", "what", "key", "told to", "reason"],
  shown.map((event) => [
    event.seq,
    time(event.at),
    event.type === "revoke" ? html`revoke: ${stateMark(event.state)}` : event.type,
    scopeName(event),
    `${places.filter((place) => place >= event.seq).length} of ${places.length} edges`,
    event.type === "revoke" ? event.reason : "",
  ]),
)}
${after > 0 && html`<p><a href="/events?until=${after}">Older events</a></p>`}`,
  };
}
