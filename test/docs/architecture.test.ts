/** docs/architecture.md, held to the files that it names. Its table of rooms is held by test/architecture.test.ts. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../support/pages.ts";

const page = readFileSync(join(ROOT, "docs/architecture.md"), "utf8");
/** Names of the page start from `src/`, unless a folder beside it is named. */
const BESIDE = readdirSync(ROOT, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => `${name}/`);

function pathsIn(text: string): string[] {
  return [...text.matchAll(/`([\w.-]+(?:\/[\w.*-]*)+|[\w-]+\.ts)`/g)].map(([, name]) => name!);
}

function placeOf(name: string): string {
  const isBeside = BESIDE.some((folder) => name.startsWith(folder));
  return join(ROOT, isBeside ? "" : "src", name.replace(/\/\*$/, ""));
}

/** A point of a list, a row of a table or a paragraph, each with what it names. */
const passages = page
  .split(/\n(?=\n|\d+\. |- |\| )/)
  .map((text) => ({ text, files: pathsIn(text).map(placeOf) }))
  .filter(({ text }) => !text.trimStart().startsWith("```"));

describe("docs/architecture.md", () => {
  test("names files and folders that there are", () => {
    const named = pathsIn(page);
    expect(named.length).toBeGreaterThan(150);
    // What each door and each room has under the same name.
    const general = ["module.ts", "configuration.ts", "door.ts"];
    expect(named.filter((name) => !general.includes(name) && !existsSync(placeOf(name)))).toEqual([]);
  });

  test("names functions that are in the files of the same passage", () => {
    let found = 0;
    const missing: string[] = [];
    for (const { text, files } of passages) {
      const sources = files.filter((file) => existsSync(file) && statSync(file).isFile());
      for (const [, name] of text.matchAll(/`(\w+)\(\)`/g)) {
        const isThere = sources.some((file) =>
          new RegExp(`\\b${name}\\b(?:[(<]|: \\()`).test(readFileSync(file, "utf8")),
        );
        if (isThere) found++;
        else missing.push(`${name}() in ${text.slice(0, 60)}`);
      }
    }
    expect(missing).toEqual([]);
    expect(found).toBeGreaterThan(30);
  });

  test("gives a spine of the length that it says, give or take a fifth", () => {
    const [, spine] = /^## The spine.*?\n(.*?)^## /ms.exec(page)!;
    const lines = pathsIn(spine!.slice(spine!.indexOf("\n1. "), spine!.indexOf("\n\nWhat surrounds")))
      .map((name) => readFileSync(placeOf(name), "utf8").split("\n").length - 1)
      .reduce((sum, count) => sum + count, 0);
    const said = Number(/about ([\d,]+) lines/.exec(spine!)![1]!.replace(",", ""));
    expect(Math.abs(lines - said)).toBeLessThan(said / 5);
  });
});
