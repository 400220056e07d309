/** One measured line of the table: what was found, what it is compared with in the same run, and what was asked. */
export interface Row {
  /** `part: what`, stable between runs: the regression check and the charts find a row by it. */
  readonly name: string;
  readonly value: number;
  /** The unit of `value` and `baseline`, such as `ops/s`, `requests/s`, `ms`, `MB`. */
  readonly unit: string;
  /** The value of the thing compared with, measured in the same run; null where the goal is an absolute one. */
  readonly baseline: number | null;
  /** What the baseline is, in a few words; absent without one. */
  readonly baselineName?: string;
  /** `value / baseline`, as the median of the rounds' own ratios; null without a baseline. */
  readonly ratio: number | null;
  readonly goal: Goal | null;
  /** `holds` or `below` where there is a goal. */
  readonly verdict: Verdict | null;
  /** How far the rounds lie apart: (highest - lowest) / median of `ratio`, or of `value` without a baseline. */
  readonly spread?: number;
  /** What a reader must know to read the row right: CPU shares, why a goal is missed. */
  readonly note?: string;
}

export type Verdict = "holds" | "below";

/** What is asked, of the ratio or of the value. */
export type Goal =
  | { readonly of: "ratio" | "value"; readonly atLeast: number }
  | { readonly of: "ratio" | "value"; readonly atMost: number };

export type RowFacts = Omit<Row, "baseline" | "ratio" | "goal" | "verdict"> & {
  readonly baseline?: number | null;
  readonly ratio?: number | null;
  readonly goal?: Goal | null;
};

/** Makes a row of what was measured, and judges it. */
export function row(facts: RowFacts): Row {
  const baseline = facts.baseline ?? null;
  const ratio = facts.ratio ?? (baseline === null ? null : facts.value / baseline);
  const goal = facts.goal ?? null;
  return { ...facts, baseline, ratio, goal, verdict: goal === null ? null : judge(goal, facts.value, ratio) };
}

function judge(goal: Goal, value: number, ratio: number | null): Verdict {
  const judged = goal.of === "value" ? value : ratio;
  if (judged === null) throw new Error("A goal of the ratio needs a baseline.");
  // A figure that is not a number is a measurement that failed, never one that holds.
  const holds = "atLeast" in goal ? judged >= goal.atLeast : judged <= goal.atMost;
  return holds ? "holds" : "below";
}

/** `>= 0.5 of the baseline`, `<= 2 ms`. */
export function describeGoal(goal: Goal, unit: string): string {
  const bound = "atLeast" in goal ? `>= ${goal.atLeast}` : `<= ${goal.atMost}`;
  return goal.of === "ratio" ? `${bound} of baseline` : `${bound} ${unit}`;
}
