/** The fleet, as the Cores have seen it. */
import { html } from "../../base/web/html.ts";
import type { CoreAdmin } from "../admin.ts";
import type { EdgeState } from "../presence-views.ts";
import { type PageParts, table, time } from "./layout.ts";

/** Those that may not know of a revocation come first. */
function worstFirst(one: EdgeState, other: EdgeState): number {
  const badness = ({ streams, lag = 0 }: EdgeState): number => (streams === 0 ? Number.MAX_SAFE_INTEGER : lag);
  return badness(other) - badness(one);
}

export async function edgesPage(admin: CoreAdmin): Promise<PageParts> {
  const edges = await admin.edges();
  return {
    title: "Edges",
    path: "/edges",
    body: html`
<p class="soft">Calls are counted since each Core's start. An edge without a stream learns of a revocation when it renews a lease.</p>
${await table(
  "Edges that this Core has seen",
  ["edge", "events", "last seen", "version", "certificate ends", "lease calls", "usage batches", "Cores"],
  edges.toSorted(worstFirst),
  ({ edge, lag, applied, streams, lastSeenAt, version, certificateEndsAt, leaseCalls, usageBatches, cores }) => [
    edge,
    streams === 0
      ? html`<span class="warn">no stream</span>`
      : lag !== undefined && lag > 0
        ? html`<span class="bad">${lag} behind</span>`
        : applied === undefined
          ? html`<span class="warn">told, not confirmed</span>`
          : html`<span class="good">up to date</span>`,
    time(lastSeenAt),
    version,
    certificateEndsAt === undefined ? "not known" : time(certificateEndsAt),
    leaseCalls,
    usageBatches,
    cores.join(", "),
  ],
)}`,
  };
}
