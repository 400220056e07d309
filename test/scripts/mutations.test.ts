import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ACCEPTED_MUTANTS, reasonOf } from "../../scripts/accepted-mutants.ts";
import { mutationsOf } from "../../scripts/mutations.ts";
import { ROOT } from "../support/pages.ts";

const SOURCE = `import { a } from "./a.ts";

interface Limits {
  readonly max: 3 | 4;
}

/** One < two. */
export function f(x: number, log: Map<string, string>): boolean {
  if (x < 2 && log.has("a < b")) return true;
  log.clear();
  return !log.has("x");
}
`;

const CLASS = `export class Counter {
  seen: number | undefined;
  count = 0;
  override readonly name = "Counter";
  add(): void {
    this.count = 1;
  }
}

function f(count: number): number {
  count = 2;
  return count;
}
`;

const changes = mutationsOf(SOURCE);
const onLine = (line: number): string[] => changes.filter((one) => one.line === line).map(({ from }) => from);

test("operators, constants, conditions and statements are changed", () => {
  expect(onLine(9)).toEqual(
    expect.arrayContaining(["<", "2", "&&", "true", 'if (x < 2 && log.has("a < b")) return true;']),
  );
  expect(onLine(10)).toEqual(["log.clear();"]);
  expect(onLine(11)).toEqual(["!"]);
});

test("what the runtime does not see is left alone: types, comments, texts", () => {
  for (const line of [1, 3, 4, 7, 8]) expect(onLine(line)).toEqual([]);
  expect(changes.filter(({ text }) => text.includes("a <= b"))).toEqual([]);
});

test("a field of a class is not taken out, for nothing that uses it would compile; its value is changed", () => {
  const removed = mutationsOf(CLASS).filter(({ to }) => to === "(nothing)");
  expect(removed.map(({ from }) => from)).toEqual(["this.count = 1;", "count = 2;"]);
  expect(mutationsOf(CLASS).filter(({ line }) => line === 3)).toMatchObject([{ from: "0" }]);
});

test("each mutation changes one line, and nothing else", () => {
  for (const { text } of changes) {
    const before = SOURCE.split("\n");
    const after = text.split("\n");
    const kept = after.filter((line) => before.includes(line)).length;
    expect(kept).toBeGreaterThanOrEqual(before.length - 1);
  }
});

test("each mutant that may survive is one that is made, in one place, and has its reason", () => {
  const outgrown = Object.entries(ACCEPTED_MUTANTS).flatMap(([file, accepted]) => {
    const mutations = mutationsOf(readFileSync(join(ROOT, file), "utf8"));
    return accepted
      .filter(({ from, to }) => mutations.filter((made) => made.from === from && made.to === to).length !== 1)
      .map(({ from, to }) => `${file}: ${from} → ${to}`);
  });
  expect(outgrown).toEqual([]);
  for (const [file, accepted] of Object.entries(ACCEPTED_MUTANTS)) {
    for (const mutant of accepted) expect(reasonOf(file, mutant)).toMatch(/^[A-Z].{10,}\.$/);
  }
  expect(reasonOf("src/edge/cache/lease.ts", { from: "0", to: "1 in: somethingElse = 1;" })).toBeUndefined();
});
