/** The page's own script: it asks what there is each second, and does what a button says without loading the page anew. */
export const SCRIPT = `"use strict";
const byId = (id) => document.getElementById(id);
const rows = (id, cells) => {
  byId(id).replaceChildren(...cells.map((row) => {
    const line = document.createElement("tr");
    for (const [text, isNumber] of row) {
      const cell = document.createElement("td");
      if (isNumber) cell.className = "number";
      cell.textContent = text;
      line.append(cell);
    }
    return line;
  }));
};
let before;
async function refresh() {
  let state;
  try {
    state = await (await fetch("/dev/state", { headers: { accept: "application/json" } })).json();
  } catch {
    byId("ready").textContent = "gone";
    byId("ready").className = "bad";
    byId("reasons").textContent = "crypto-edge dev has ended.";
    return;
  }
  const now = performance.now();
  byId("ready").textContent = state.ready ? "ready" : "not ready";
  byId("ready").className = state.ready ? "good" : "bad";
  byId("reasons").textContent = state.reasons.join(" ") || state.edgeUrl;
  byId("operations").textContent = state.operations.toLocaleString("en");
  if (before !== undefined) {
    const rate = Math.round(((state.operations - before.operations) * 1000) / (now - before.now));
    byId("rate").textContent = rate.toLocaleString("en") + " a second";
    byId("flow-rate").textContent = rate === 0 ? "data keys" : rate.toLocaleString("en") + " / s";
  }
  before = { operations: state.operations, now };
  byId("lease-count").textContent = state.leases.length;
  byId("flow-leases").textContent = state.leases.length + " leases";
  rows("leases", state.leases.map((each) => [[each.name], [each.versions], [each.secondsLeft, true]]));
  rows("services", state.services.map((each) => [[each.name], [each.version, true], [each.state]]));
  rows("events", state.events.map((each) => [[each.seq, true], [each.at], [each.what]]));
}
byId("act").addEventListener("submit", async (event) => {
  event.preventDefault();
  const data = new FormData(event.target);
  const body = { action: event.submitter.value, tenant: data.get("tenant"), service: data.get("service") };
  const answer = await fetch("/dev/act", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  byId("answer").textContent = (await answer.json()).text;
  await refresh();
});
setInterval(refresh, 1000);
refresh();
`;
