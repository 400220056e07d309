import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { readRun } from "../../bench/harness/saved-run.ts";
import { performancePage } from "../../bench/report/page.ts";
import { scalingPage } from "../../bench/report/scaling-page.ts";

const docs = resolve(import.meta.dir, "../../docs");

test("the page on performance is what the saved run says, its charts too", () => {
  const { markdown, charts } = performancePage(readRun(join(docs, "performance.json"))!);
  expect(readFileSync(join(docs, "performance.md"), "utf8")).toBe(markdown);
  for (const [name, chart] of charts) expect(readFileSync(join(docs, name), "utf8")).toBe(chart);
});

test("the page on scaling reckons with the same run", () => {
  expect(readFileSync(join(docs, "scaling.md"), "utf8")).toBe(scalingPage(readRun(join(docs, "performance.json"))!));
});

test("every row that is below its goal has a reason on the page", () => {
  const { markdown } = performancePage(readRun(join(docs, "performance.json"))!);
  expect(markdown).not.toContain("not yet looked into");
});
