/** A run kept in a file, and how the next one compares: by the ratio to its own baseline, never by absolute time. */
import { readFileSync, writeFileSync } from "node:fs";
import type { Machine } from "./machine.ts";
import type { Row } from "./row.ts";

export interface SavedRun {
  /** Where and when each part ran last: a row's part is its name up to the colon. */
  readonly machines: Readonly<Record<string, Machine>>;
  readonly rows: readonly Row[];
}

export function partOf({ name }: Row): string {
  return name.slice(0, name.indexOf(":"));
}

/** A ratio that got worse by more than this is a regression; less is the noise of a shared machine. */
const REGRESSION_MARGIN = 0.25;

export interface Regression {
  readonly name: string;
  readonly before: number;
  readonly now: number;
}

/** Writes the rows of a run; those of parts that did not run this time are kept from the file as it was. */
export function saveRun(file: string, machine: Machine, rows: readonly Row[]): void {
  const before = readRun(file);
  const ran = new Set(rows.map(partOf));
  const kept = (before?.rows ?? []).filter((row) => !ran.has(partOf(row)));
  const all = [...kept, ...rows].toSorted((a, b) => a.name.localeCompare(b.name));
  const machines = { ...before?.machines, ...Object.fromEntries(rows.map((row) => [partOf(row), machine])) };
  writeFileSync(file, `${JSON.stringify({ machines, rows: all }, null, 2)}\n`);
}

export function readRun(file: string): SavedRun | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as SavedRun;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new Error(`${file} is not a saved run: ${(error as Error).message}`);
  }
}

export function regressions(before: readonly Row[], now: readonly Row[], margin = REGRESSION_MARGIN): Regression[] {
  const known = new Map(before.map((row) => [row.name, row]));
  return now.flatMap((row) => {
    const old = known.get(row.name);
    if (old?.ratio == null || row.ratio == null || row.goal?.of !== "ratio") return [];
    const isWorse = "atLeast" in row.goal ? row.ratio < old.ratio * (1 - margin) : row.ratio > old.ratio * (1 + margin);
    return isWorse ? [{ name: row.name, before: old.ratio, now: row.ratio }] : [];
  });
}
