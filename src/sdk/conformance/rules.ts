/** How a rule is run: one after the other, each within a limit, none of them able to end the kit. */
import { messageOf } from "../../base/errors.ts";
import type { RuleResult } from "./report.ts";

export interface Rule {
  readonly rule: string;
  readonly title: string;
  /** Throws `broken(…)` or `notTried(…)`; any other error breaks the rule too. */
  run(): Promise<void>;
}

class Verdict extends Error {
  readonly outcome: "broken" | "not tried";

  constructor(outcome: "broken" | "not tried", message: string) {
    super(message);
    this.outcome = outcome;
  }
}

export const broken = (message: string): Error => new Verdict("broken", message);
export const notTried = (message: string): Error => new Verdict("not tried", message);

/** How long a plugin may take for anything that should be soon. */
export const SOON_MS = 5_000;
const RULE_LIMIT_MS = 60_000;

export async function runRules(rules: readonly Rule[]): Promise<RuleResult[]> {
  const results: RuleResult[] = [];
  for (const { rule, title, run } of rules) {
    try {
      await within(RULE_LIMIT_MS, run(), "the rule");
      results.push({ rule, title, outcome: "kept" });
    } catch (error) {
      const outcome = error instanceof Verdict ? error.outcome : "broken";
      results.push({ rule, title, outcome, detail: messageOf(error) });
    }
  }
  return results;
}

/** The promise's value, if it comes in time. */
export async function within<T>(limitMs: number, promise: Promise<T> | T, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(broken(`${what} took longer than ${limitMs / 1000} s`)), limitMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What every kind of contribution has, or may have. */
export interface Living {
  health?(): unknown;
  close?(): Promise<void>;
}

export function checkHealth(living: Living): void {
  if (living.health === undefined) throw notTried("it has no health");
  const health = living.health() as { ok?: unknown; detail?: unknown } | undefined;
  if (health instanceof Promise) throw broken("health gives a promise: it must answer from memory");
  if (typeof health?.ok !== "boolean") throw broken("health gives no { ok: true | false }");
  if (health.detail !== undefined && typeof health.detail !== "string") throw broken("its detail is no sentence");
}

export async function checkCloseTwice(living: Living): Promise<void> {
  await within(SOON_MS, living.close?.(), "close");
  await within(SOON_MS, living.close?.(), "the second close").catch((error: unknown) => {
    throw broken(`the second close failed: ${messageOf(error)}`);
  });
}
