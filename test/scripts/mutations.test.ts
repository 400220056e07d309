import { expect, test } from "bun:test";
import { mutationsOf } from "../../scripts/mutations.ts";

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

test("each mutation changes one line, and nothing else", () => {
  for (const { text } of changes) {
    const before = SOURCE.split("\n");
    const after = text.split("\n");
    const kept = after.filter((line) => before.includes(line)).length;
    expect(kept).toBeGreaterThanOrEqual(before.length - 1);
  }
});
