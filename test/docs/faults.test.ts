/** docs/faults.md, held to the tests that it names. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../support/pages.ts";

test("docs/faults.md names tests that there are, in each row", () => {
  const rows = readFileSync(join(ROOT, "docs/faults.md"), "utf8").matchAll(/^\| (.+) \| (`test\/.*|) \|$/gm);
  const named = [...rows].map(
    ([, fault, tests]) => [fault, [...tests!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!)] as const,
  );
  expect(named.length).toBeGreaterThan(30);
  expect(
    named.filter(([, tests]) => tests.length === 0 || tests.some((name) => !existsSync(join(ROOT, name)))),
  ).toEqual([]);
});

/** Rows of a part of the page, with the tests that each names and the parts of their names. */
function namedIn(part: string): readonly (readonly [file: string, name: string])[] {
  return [...part.matchAll(/`(test\/[^`]+)` \(([^)]+)\)/g)].flatMap(([, file, names]) =>
    names!.split("; ").map((name) => [file!, name] as const),
  );
}

function untrue(named: readonly (readonly [file: string, name: string])[]): readonly (readonly [string, string])[] {
  return named.filter(([file, name]) => {
    const titles = readFileSync(join(ROOT, file), "utf8").matchAll(/(?:test|describe)[^\n]*?\(\s*(["`])(.*?)\1,/g);
    return ![...titles].some(([, , title]) => title!.includes(name));
  });
}

const numbers = (letter: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${letter}${index + 1}`);

test("each number of the reports has a test that there is, or is known as not mended", () => {
  const page = readFileSync(join(ROOT, "docs/faults.md"), "utf8");
  const [, part] = /^## By number$([\s\S]*?)^## Journeys$/m.exec(page)!;
  const rows = [...part!.matchAll(/^\| ((?:attack |extra |F|A)\d+) \| .+ \| (.+) \|$/gm)];
  const held = new Set(rows.filter(([, , tests]) => namedIn(tests!).length > 0).map(([, number]) => number));
  const wanted = [...numbers("attack ", 12), ...numbers("F", 22), ...numbers("extra ", 5), ...numbers("A", 12)];
  expect(wanted.filter((number) => !held.has(number))).toEqual(["F19"]);
  expect(page.slice(page.indexOf("Known and not mended"))).toContain("/proc");
  expect(untrue(namedIn(part!))).toEqual([]);
});

test("of the journeys, each row names parts of names of tests that there are", () => {
  const page = readFileSync(join(ROOT, "docs/faults.md"), "utf8");
  const [, part] = /^## Journeys$([\s\S]*?)^Known and/m.exec(page)!;
  const named = namedIn(part!);
  expect(named.length).toBeGreaterThan(40);
  expect(named.length).toBeGreaterThanOrEqual([...part!.matchAll(/`test\//g)].length);
  expect(untrue(named)).toEqual([]);
});
