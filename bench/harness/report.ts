/** Prints rows for a person. */
import type { Machine } from "./machine.ts";
import { describeGoal, type Row } from "./row.ts";

export function formatTable(rows: readonly Row[]): string {
  const lines = rows.map((row) => [
    row.name,
    `${formatNumber(row.value)} ${row.unit}`,
    row.baseline === null ? "" : `${formatNumber(row.baseline)}${row.baselineName ? ` (${row.baselineName})` : ""}`,
    row.ratio === null ? "" : row.ratio.toFixed(row.ratio < 10 ? 2 : 0),
    row.spread === undefined ? "" : `±${Math.round(row.spread * 50)} %`,
    row.goal === null ? "" : describeGoal(row.goal, row.unit),
    row.verdict ?? "",
  ]);
  const header = ["what", "result", "baseline", "ratio", "spread", "goal", "verdict"];
  const widths = header.map((title, column) => Math.max(title.length, ...lines.map((line) => line[column]!.length)));
  const print = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("  ")
      .trimEnd();
  const notes = rows
    .filter((row) => row.note !== undefined && row.note !== "")
    .map((row) => `  ${row.name}: ${row.note}`);
  return [
    print(header),
    print(widths.map((width) => "-".repeat(width))),
    ...lines.map(print),
    ...(notes.length === 0 ? [] : ["", ...notes]),
  ].join("\n");
}

/** Three digits that matter, with thousands apart. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return "no figure";
  const magnitude = Math.abs(value);
  if (magnitude >= 1000) return Math.round(value).toLocaleString("en-US");
  if (magnitude >= 100) return value.toFixed(0);
  if (magnitude >= 10) return value.toFixed(1);
  return magnitude >= 1 ? value.toFixed(2) : value.toFixed(3);
}

export function formatMachine(machine: Machine): string {
  const { processor, cores, memoryGiB, kernel, bun, openssl, date } = machine;
  return `${processor}, ${cores} cores, ${memoryGiB} GiB, ${kernel}, Bun ${bun}, ${openssl}, ${date} UTC`;
}
