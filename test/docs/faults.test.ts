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
