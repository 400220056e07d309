/** The first page: how the Core is, what is wrong, and where to go. */
import type { Clock } from "../../base/time/clock.ts";
import { mapInTurns } from "../../base/time/run-in-turns.ts";
import { html } from "../../base/web/html.ts";
import type { CoreAdmin, CoreStatus } from "../admin.ts";
import type { EdgeState } from "../presence-views.ts";
import { type PageParts, stateMark, table, time } from "./layout.ts";

const DAY_MS = 86_400_000;
const CERTIFICATE_WARNING_MS = 14 * DAY_MS;
/** An edge that holds leases renews one within this time. */
const SILENT_MS = 5 * 60_000;
const MAX_TOLD = 20;

export async function overviewPage(admin: CoreAdmin, clock: Clock): Promise<PageParts> {
  const status = await admin.status();
  // Without its database a Core still says how it is.
  const [edges, tenants] = await Promise.all([
    admin.edges().catch(() => undefined),
    admin.tenants().catch(() => undefined),
  ]);
  const problems = await problemsOf(status, edges ?? [], clock.wallMs());
  return {
    title: "Overview",
    path: "/",
    body: html`
<h2>Problems</h2>
${
  problems.length === 0
    ? html`<p class="good">None is known.</p>`
    : html`<ul>${problems.slice(0, MAX_TOLD).map((problem) => html`<li class="bad">${problem}</li>`)}</ul>
${problems.length > MAX_TOLD && html`<p>and ${problems.length - MAX_TOLD} more: see <a href="/edges">the edges</a>.</p>`}`
}
<h2>This Core</h2>
<div class="cards">
  <div class="card">Name <b>${status.core}</b><span class="soft">version ${status.version}, since ${time(status.startedAt)}</span></div>
  <div class="card">Database <b>${status.database.kind}</b><span class="soft">${status.database.name}</span></div>
  <div class="card">Events <b>${status.lastSeq}</b><span class="soft">log ${status.log}</span></div>
  <div class="card">Streams <b>${status.streams}</b><span class="soft">${status.connections} connections, ${edges?.length ?? 0} edges known</span></div>
  <div class="card">Certificate ends <b>${time(status.certificateEndsAt)}</b><span class="soft">events signed by ${status.signingKey}</span></div>
</div>
<h2>Tenants</h2>
${
  tenants === undefined
    ? html`<p class="bad">The database is away.</p>`
    : await table(
        "Tenants of this Core",
        ["tenant", "state", "services", "made"],
        tenants,
        ({ tenant, state, services, createdAt }) => [
          html`<a href="/services?${new URLSearchParams({ tenant }).toString()}">${tenant}</a>`,
          stateMark(state),
          services,
          time(createdAt),
        ],
      )
}
<h2>Cores of this database</h2>
${await table(
  "Cores",
  ["Core", "version", "last seen", "master keys"],
  status.cores,
  ({ core, version, seenAt, masterKeys }) => [core, version, time(seenAt), masterKeys.join(", ")],
)}`,
  };
}

/** Sentences for a person, the worst first. */
export async function problemsOf(status: CoreStatus, edges: readonly EdgeState[], nowMs: number): Promise<string[]> {
  const { away, unfit, full } = status.database;
  const ends = (what: string, at: string | undefined): string[] => {
    const leftMs = at === undefined ? Number.POSITIVE_INFINITY : Date.parse(at) - nowMs;
    if (leftMs > CERTIFICATE_WARNING_MS) return [];
    return [leftMs <= 0 ? `The certificate of ${what} has ended.` : `The certificate of ${what} ends at ${at}.`];
  };
  const ofEdges = await mapInTurns(edges, ({ edge, lag, streams, lastSeenAt, certificateEndsAt }) => [
    ...(lag === undefined || lag === 0 ? [] : [`The edge ${edge} is ${lag} events behind.`]),
    ...(streams > 0 || nowMs - Date.parse(lastSeenAt) < SILENT_MS
      ? []
      : [`The edge ${edge} follows no events and was last seen at ${lastSeenAt}.`]),
    ...ends(`the edge ${edge}`, certificateEndsAt),
  ]);
  return [
    ...(away === undefined ? [] : [`The database is away: ${away}`]),
    ...(unfit === undefined ? [] : [`This Core grants nothing: ${unfit}.`]),
    ...(full === undefined ? [] : [full]),
    ...ends("this Core", status.certificateEndsAt),
    ...ofEdges.flat(),
  ];
}
