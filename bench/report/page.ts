/** docs/performance.md and its charts, from a saved run: no figure is written by hand. */
import { formatMachine, formatNumber } from "../harness/report.ts";
import { describeGoal, type Row } from "../harness/row.ts";
import { partOf, type SavedRun } from "../harness/saved-run.ts";
import { type Bar, barChart } from "./chart.ts";
import { reasonFor } from "./reasons.ts";

export interface Page {
  readonly markdown: string;
  /** By file name. */
  readonly charts: ReadonlyMap<string, string>;
}

export function performancePage(run: SavedRun): Page {
  const { rows } = run;
  const charts = new Map<string, string>();
  const least = bars(rows, (row) => row.goal !== null && row.goal.of === "ratio" && "atLeast" in row.goal);
  if (least.length > 0)
    charts.set("performance-throughput.svg", barChart("Part of the baseline's rate (line: goal)", least, ""));
  const during = bars(rows, (row) => row.name.startsWith("latency: p99 during"));
  if (during.length > 0) {
    charts.set(
      "performance-disturbed.svg",
      barChart("p99 against the quiet run's (line: the most that is asked)", during, ""),
    );
  }
  const cost = bars(rows, (row) => row.name.startsWith("cost: "));
  if (cost.length > 0)
    charts.set(
      "performance-cost.svg",
      barChart("CreateKey in process against the path without (line: the most that is asked)", cost, ""),
    );

  const below = rows.filter((row) => row.verdict === "below");
  const markdown = `# Performance

Made by \`bun run bench --page\` from a saved run; no figure here is written by hand.

    bun run bench                  every part, as a table
    bun run bench wrap http        some of them; --list names all
    bun run bench --json           a row a line
    bun run bench --save FILE      keeps the rows, and compares with what FILE held before
    bun run bench --guard          a minute of it, as CI runs it: ratios against the saved run

${machinesOf(run)}

Every figure is a median of rounds that take turns with their baseline, and the ratio is the median of the rounds' own
ratios. Rates are per second of the processor time that the server used, so that neighbours on the machine count for
little; latencies have no such protection: on a machine with other work they are the neighbours' as well. These machines
are virtual ones, whose cores other guests use too. Compare ratios, not times.

${[...charts.keys()].map((name) => `![${charts.get(name)!.match(/aria-label="([^"]+)"/)![1]}](${name})`).join("\n\n")}

| what | result | baseline | ratio | spread | goal | verdict |
| --- | --- | --- | --- | --- | --- | --- |
${rows.map(tableLine).join("\n")}

## Where a goal is not reached, and why

${below.length === 0 ? "None in this run." : below.map((row) => `- **${row.name}** (${found(row)}): ${reasonFor(row.name)}`).join("\n")}

## What was tried and left out

- **AES-GCM put together here**, over the library's AES: as fast as a context of \`node:crypto\` for each message, slower with an encryption
  context, and one more thing to trust. The machine's OpenSSL with a context kept for each key is faster than both.
- **Other settings of the garbage collector.** The longest pauses are its; none of the runtime's options made them shorter.

## What stands beside the figures

${rows
  .filter((row) => row.note !== undefined && row.note !== "")
  .map((row) => `- ${row.name}: ${row.note}`)
  .join("\n")}
`;
  return { markdown, charts };
}

/** A line for each run: its parts, and the machine. */
function machinesOf({ machines, rows }: SavedRun): string {
  const parts = [...new Set(rows.map(partOf))];
  const byMachine = Map.groupBy(parts, (part) => formatMachine(machines[part]!));
  return [...byMachine].map(([machine, ran]) => `- ${ran.join(", ")}: ${machine}.`).join("\n");
}

function bars(rows: readonly Row[], isWanted: (row: Row) => boolean): Bar[] {
  return rows
    .filter((row) => isWanted(row) && row.ratio !== null && row.goal !== null)
    .map((row) => ({
      label: row.name,
      value: row.ratio!,
      goal: "atLeast" in row.goal! ? row.goal.atLeast : row.goal!.atMost,
      holds: row.verdict === "holds",
    }));
}

function tableLine(row: Row): string {
  const cells = [
    row.name,
    `${formatNumber(row.value)} ${row.unit}`,
    row.baseline === null ? "" : `${formatNumber(row.baseline)}, ${row.baselineName ?? ""}`,
    row.ratio === null ? "" : row.ratio.toFixed(2),
    row.spread === undefined ? "" : `±${Math.round(row.spread * 50)} %`,
    row.goal === null ? "" : describeGoal(row.goal, row.unit),
    row.verdict ?? "",
  ];
  return `| ${cells.join(" | ")} |`;
}

function found(row: Row): string {
  return row.goal?.of === "ratio" ? `ratio ${row.ratio!.toFixed(2)}` : `${formatNumber(row.value)} ${row.unit}`;
}
