/** The page of `crypto-edge dev`: what runs, live, and what can be done with it. Its tables and buttons work without JavaScript. */
import { type Html, html, PAGE_HEADERS, page } from "../../base/web/html.ts";
import { STYLE } from "../../base/web/style.ts";
import type { DoorAnswer } from "../../edge/doors/door.ts";
import { SCRIPT } from "./script.ts";
import type { DevState } from "./state.ts";

const FILES: Readonly<Record<string, { readonly type: string; readonly text: string }>> = {
  "/dev/page.css": { type: "text/css; charset=utf-8", text: STYLE },
  "/dev/page.js": { type: "text/javascript; charset=utf-8", text: SCRIPT },
};

export const FILE_PATHS = Object.keys(FILES);

export function fileAnswer(path: string): DoorAnswer {
  const { type, text } = FILES[path]!;
  return { status: 200, headers: { ...PAGE_HEADERS, "Content-Type": type }, body: text };
}

export interface Done {
  /** What was asked, as a person says it. */
  readonly what: string;
  /** What came of it. */
  readonly answer: string;
  readonly ok: boolean;
  readonly microseconds: number;
}

export function pageAnswer(state: DevState, done: Done | undefined): DoorAnswer {
  const body = page({
    title: "crypto-edge dev",
    style: "/dev/page.css",
    script: "/dev/page.js",
    body: bodyOf(state, done),
  });
  return { status: 200, headers: { ...PAGE_HEADERS, "Content-Type": "text/html; charset=utf-8" }, body };
}

function bodyOf(state: DevState, done: Done | undefined): Html {
  return html`
<main>
<h1>crypto-edge dev</h1>
<p class="soft">A Core and an edge in this process, over real mutual TLS. Everything here is gone when it ends.</p>

<svg class="flow" viewBox="0 0 760 180" role="img" aria-label="The Core leases service keys to the edge, and pushes revocations; applications ask the edge for data keys">
  <rect x="10" y="50" width="170" height="80" rx="8"/><text x="95" y="84">Core</text><text x="95" y="106" class="small">keeps the service keys</text>
  <rect x="295" y="50" width="170" height="80" rx="8"/><text x="380" y="84">edge</text><text x="380" y="106" class="small" id="flow-leases">${state.leases.length} leases</text>
  <rect x="580" y="50" width="170" height="80" rx="8"/><text x="665" y="84">your application</text><text x="665" y="106" class="small">keeps the wrapped keys</text>
  <path d="M180 75 H287 M280 69 L289 75 L280 81"/><text x="234" y="62" class="small">leases</text>
  <path class="refused" d="M180 110 H287 M280 104 L289 110 L280 116"/><text x="234" y="134" class="small">revocations</text>
  <path d="M465 90 H572 M565 84 L574 90 L565 96 M472 84 L463 90 L472 96"/><text x="519" y="76" class="small" id="flow-rate">data keys</text>
</svg>

<div class="cards">
  <div class="card">The edge is <b id="ready" class="${state.ready ? "good" : "bad"}">${state.ready ? "ready" : "not ready"}</b><span class="soft" id="reasons">${state.reasons.join(" ") || state.edgeUrl}</span></div>
  <div class="card">Operations so far <b id="operations">${state.operations}</b><span class="soft" id="rate">&nbsp;</span></div>
  <div class="card">Leases held <b id="lease-count">${state.leases.length}</b><span class="soft">from ${state.coreUrl}</span></div>
</div>

<h2>Try it</h2>
<form class="row" method="post" action="/dev/act" id="act">
  <label>Tenant <input name="tenant" value="tenant-a" required pattern="[A-Za-z0-9][A-Za-z0-9._:\\-]*" maxlength="128"></label>
  <label>Service <input name="service" value="billing" required pattern="[A-Za-z0-9][A-Za-z0-9._:\\-]*" maxlength="128"></label>
  <button name="action" value="create">Create a key</button>
  <button name="action" value="open">Open it</button>
  <button name="action" value="rotate">Rotate</button>
  <button name="action" value="revoke" class="danger">Revoke</button>
  <button name="action" value="restore">Restore</button>
</form>
<output id="answer" for="act" aria-live="polite">${done === undefined ? "Create a data key, open it, then revoke its service key and try to open it again." : describeDone(done)}</output>

<h2>Leases</h2>
<div class="scroll" role="region" aria-label="Leases" tabindex="0"><table><thead><tr><th>service key</th><th>versions</th><th class="number">seconds left</th></tr></thead><tbody id="leases">
${state.leases.map(({ name, versions, secondsLeft }) => html`<tr><td>${name}</td><td>${versions}</td><td class="number">${secondsLeft}</td></tr>`)}
</tbody></table></div>

<h2>Service keys at the Core</h2>
<div class="scroll" role="region" aria-label="Service keys at the Core" tabindex="0"><table><thead><tr><th>service key</th><th class="number">version</th><th>state</th></tr></thead><tbody id="services">
${state.services.map(({ name, version, state: is }) => html`<tr><td>${name}</td><td class="number">${version}</td><td>${is}</td></tr>`)}
</tbody></table></div>

<h2>Events</h2>
<div class="scroll" role="region" aria-label="Events" tabindex="0"><table><thead><tr><th class="number">number</th><th>at</th><th>what</th></tr></thead><tbody id="events">
${state.events.map(({ seq, at, what }) => html`<tr><td class="number">${seq}</td><td>${at}</td><td>${what}</td></tr>`)}
</tbody></table></div>
</main>`;
}

export function describeDone({ what, answer, ok, microseconds }: Done): string {
  return `${what}\n${ok ? answer : `refused: ${answer}`}\n${microseconds.toLocaleString("en")} µs`;
}
