/** What every page of the console has: its frame, its headers, its tables. */
import { mapInTurns } from "../../base/time/run-in-turns.ts";
import { type Html, html, PAGE_HEADERS, page } from "../../base/web/html.ts";
import { STYLE } from "../../base/web/style.ts";
import type { Visitor } from "./visitor.ts";

const PAGES = [
  ["/", "Overview"],
  ["/services", "Services"],
  ["/edges", "Edges"],
  ["/events", "Events"],
  ["/audit", "Audit"],
] as const;

const STYLE_PATH = "/console.css";

/** No script at all. `Origin` must be sent with a form, so the referrer's policy is the one that lets it. */
const HEADERS: Readonly<Record<string, string>> = {
  ...PAGE_HEADERS,
  "Content-Security-Policy":
    "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
  "Referrer-Policy": "same-origin",
};

export interface PageParts {
  readonly title: string;
  /** Of the entry of the navigation that the page belongs to. */
  readonly path: (typeof PAGES)[number][0] | undefined;
  readonly body: Html;
  readonly status?: number;
}

/** Without a visitor it is a page for somebody who is not let in yet, and leads nowhere. */
export function pageResponse({ title, path, body, status = 200 }: PageParts, visitor: Visitor | undefined): Response {
  const links = PAGES.map(
    ([to, name]) => html`<a href="${to}"${to === path && html` aria-current="page"`}>${name}</a>`,
  );
  const text = page({
    title: `${title} - crypto-edge Core`,
    style: STYLE_PATH,
    body: html`
${visitor && html`<header><nav aria-label="Console">${links}</nav>${whoIs(visitor)}</header>`}
<main>
<h1>${title}</h1>
${body}
</main>`,
  });
  return new Response(text, { status, headers: { ...HEADERS, "Content-Type": "text/html; charset=utf-8" } });
}

function whoIs({ name, role, by }: Visitor): Html {
  const signOut = html`<form method="post" action="/sign-out"><button>Sign out</button></form>`;
  return html`<div class="actions soft"><span>${name}, ${role}, by ${by}</span>${by === "session" && signOut}</div>`;
}

export function styleResponse(): Response {
  return new Response(STYLE, { headers: { ...HEADERS, "Content-Type": "text/css; charset=utf-8" } });
}

export function seeOther(location: string, cookies: readonly string[] = []): Response {
  const headers = new Headers({ ...HEADERS, Location: location });
  for (const cookie of cookies) headers.append("Set-Cookie", cookie);
  return new Response(null, { status: 303, headers });
}

/** JSON lines, to be kept as a file. */
export async function fileResponse(name: string, records: readonly unknown[]): Promise<Response> {
  const lines = await mapInTurns(records, (record) => `${JSON.stringify(record)}\n`);
  return new Response(lines.join(""), {
    headers: {
      ...HEADERS,
      "Content-Type": "application/jsonl; charset=utf-8",
      "Content-Disposition": `attachment; filename="${name}"`,
    },
  });
}

type Cell = Html | string | number | undefined;

/** More rows than this nobody reads; the commands give all. */
const MAX_ROWS = 1_000;

/**
 * The first cell of a row names it. A wide table scrolls by itself, with the keyboard too. Rows are made in turns with the calls of edges, and no
 * more of them than are shown.
 */
export async function table<Item>(
  caption: string,
  headings: readonly string[],
  items: readonly Item[],
  cellsOf: (item: Item) => readonly Cell[],
): Promise<Html> {
  if (items.length === 0) return html`<p class="soft">${caption}: none.</p>`;
  const rows = await mapInTurns(items.slice(0, MAX_ROWS), (item) => {
    const [first, ...others] = cellsOf(item);
    return html`<tr><th scope="row">${first}</th>${others.map((cell) => html`<td>${cell}</td>`)}</tr>\n`;
  });
  return html`<div class="scroll" role="region" aria-label="${caption}" tabindex="0"><table>
<caption>${caption}</caption>
<thead><tr>${headings.map((heading) => html`<th scope="col">${heading}</th>`)}</tr></thead>
<tbody>
${rows}</tbody>
</table></div>
${items.length > MAX_ROWS && html`<p class="warn">These are ${MAX_ROWS} of ${items.length}.</p>`}`;
}

const STATE_CLASSES: Readonly<Record<string, string>> = {
  active: "good",
  deprecated: "soft",
  compromised: "bad",
  destroyed: "bad",
};

export function stateMark(state: string): Html {
  return html`<span class="${STATE_CLASSES[state] ?? ""}">${state}</span>`;
}

/** ISO 8601 to the second: UTC, as everywhere in the project. */
export function time(iso: string): Html {
  return iso === "" ? html`` : html`<time datetime="${iso}">${iso.replace(/\.\d+Z$/, "Z")}</time>`;
}
