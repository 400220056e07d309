/** The audit that edges reported: searched, shown, taken along as a file. */
import { runInTurns } from "../../base/time/run-in-turns.ts";
import { html } from "../../base/web/html.ts";
import type { CoreAdmin } from "../admin.ts";
import { CoreError } from "../protocol/core-error.ts";
import { fileResponse, type PageParts, table, time } from "./layout.ts";

/** The newest that are searched. */
const SEARCHED = 10_000;
const SHOWN = 200;

type AuditEvent = Record<string, unknown>;

export async function auditPage(admin: CoreAdmin, query: URLSearchParams): Promise<PageParts> {
  const found = await search(admin, query);
  return {
    title: "Audit",
    path: "/audit",
    body: html`
<form class="row" method="get" action="/audit" role="search">
<label>Words <input name="words" value="${query.get("words") ?? ""}" maxlength="200"></label>
<label>Edge <input name="edge" value="${query.get("edge") ?? ""}" maxlength="128"></label>
<label>Received since (UTC) <input name="since" value="${query.get("since") ?? ""}" placeholder="2026-01-31T12:00:00Z" maxlength="40"></label>
<button>Search</button>
</form>
<p class="soft">All words must be in an event, in whichever field. The newest ${SEARCHED} events are searched; ${found.length} were found, the newest ${SHOWN} of them are shown.
<a href="/audit.jsonl?${query.toString()}">Take all that were found along, as JSON lines</a></p>
${await table(
  "Audit events, the newest first",
  ["time", "edge", "principal", "operation", "outcome", "tenant", "service", "version", "request"],
  found.slice(0, SHOWN),
  (event) => [
    time(textOf(event.time)),
    textOf(event.edge),
    textOf(event.principal),
    textOf(event.operation),
    textOf(event.outcome),
    textOf(event.tenant),
    textOf(event.service),
    textOf(event.version),
    textOf(event.request_id),
  ],
)}`,
  };
}

export async function auditFile(admin: CoreAdmin, query: URLSearchParams): Promise<Response> {
  return fileResponse("audit.jsonl", await search(admin, query));
}

async function search(admin: CoreAdmin, query: URLSearchParams): Promise<AuditEvent[]> {
  const words = (query.get("words") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const edge = query.get("edge")?.trim();
  const since = query.get("since")?.trim();
  if (since && Number.isNaN(Date.parse(since))) {
    throw new CoreError("invalid_request", "since must be a time such as 2026-01-31T12:00:00Z");
  }
  const events = await admin.auditEvents({
    limit: SEARCHED,
    ...(edge ? { edge } : {}),
    ...(since ? { since: new Date(since).toISOString() } : {}),
  });
  const found: AuditEvent[] = [];
  await runInTurns(events.length, (index) => {
    const event = events[index]!;
    const text = Object.values(event).map(textOf).join("\n").toLowerCase();
    if (words.every((word) => text.includes(word))) found.push(event);
    return text.length;
  });
  return found;
}

function textOf(value: unknown): string {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
