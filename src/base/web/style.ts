/** The style of the pages that this program serves: one sheet, light and dark, no outside resource. */
export const STYLE = `
:root {
  --ink: #17202a; --soft: #566573; --paper: #ffffff; --field: #f3f5f8; --line: #c9d1da;
  --accent: #0b5cad; --good: #1b6e3c; --bad: #a61b1b; --warn: #855300;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e8edf3; --soft: #a9b5c2; --paper: #12171d; --field: #1c242d; --line: #36424f;
    --accent: #7db8f5; --good: #6fd196; --bad: #ff9a9a; --warn: #ecc06a;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem 1.25rem 3rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.4rem; margin: 0.5rem 0; }
h2 { font-size: 1.1rem; margin: 1.75rem 0 0.5rem; }
h1, h2, p, li { overflow-wrap: anywhere; }
p { margin: 0.4rem 0; }
a { color: var(--accent); }
.soft { color: var(--soft); }
.good { color: var(--good); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
.warn { color: var(--warn); font-weight: 600; }
nav { display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; padding: 0.5rem 0; border-bottom: 1px solid var(--line); }
nav a[aria-current] { color: var(--ink); font-weight: 600; text-decoration: none; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.95rem; }
caption { text-align: left; color: var(--soft); padding: 0.25rem 0; }
th, td { text-align: left; padding: 0.35rem 0.75rem 0.35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
code, pre, output { font: 0.9rem/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre, output { display: block; background: var(--field); padding: 0.6rem 0.75rem; border-radius: 6px; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
form { margin: 0.5rem 0; }
.actions { display: inline-flex; flex-wrap: wrap; gap: 0 1rem; align-items: center; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
form.row { display: flex; flex-wrap: wrap; gap: 0.5rem; align-items: end; }
label { display: inline-flex; flex-direction: column; gap: 0.15rem; font-size: 0.9rem; color: var(--soft); }
label.check { flex-direction: row; align-items: center; gap: 0.5rem; }
input, select, button { max-width: 100%; font: inherit; color: var(--ink); background: var(--field); border: 1px solid var(--line); border-radius: 6px; padding: 0.4rem 0.65rem; min-height: 2.4rem; }
input[type="checkbox"] { min-height: 0; }
button { cursor: pointer; border-color: var(--accent); }
button.danger { border-color: var(--bad); color: var(--bad); }
button:hover { background: var(--line); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: 0.75rem; margin: 0.75rem 0; }
.card { min-width: 0; overflow-wrap: anywhere; background: var(--field); border-radius: 8px; padding: 0.75rem 1rem; }
.card b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.flow { width: 100%; height: auto; max-height: 14rem; }
.flow rect { fill: var(--field); stroke: var(--line); }
.flow text { fill: var(--ink); font: 14px system-ui, sans-serif; text-anchor: middle; }
.flow text.small { fill: var(--soft); font-size: 12px; }
.flow path { stroke: var(--accent); stroke-width: 2; fill: none; }
.flow path.refused { stroke: var(--bad); stroke-dasharray: 5 4; }
`;
