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

test("of the journeys, each row names parts of names of tests that there are", () => {
  const page = readFileSync(join(ROOT, "docs/faults.md"), "utf8");
  const [, part] = /^## Journeys$([\s\S]*?)^Known and/m.exec(page)!;
  const named = [...part!.matchAll(/`(test\/[^`]+)` \(([^)]+)\)/g)].flatMap(([, file, names]) =>
    names!.split("; ").map((name) => [file!, name] as const),
  );
  expect(named.length).toBeGreaterThan(40);
  expect(named.length).toBeGreaterThanOrEqual([...part!.matchAll(/`test\//g)].length);
  expect(
    named.filter(([file, name]) => {
      const titles = readFileSync(join(ROOT, file), "utf8").matchAll(/(?:test|describe)[^\n]*?\(\s*(["`])(.*?)\1,/g);
      return ![...titles].some(([, , title]) => title!.includes(name));
    }),
  ).toEqual([]);
});
