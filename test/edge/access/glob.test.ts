import { expect, test } from "bun:test";
import { compileGlob, compileGlobs } from "../../../src/edge/access/glob.ts";
import { fc } from "../../support/properties.ts";

const text = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 10 });
const pattern = fc.string({ unit: fc.constantFrom("a", "b", "*"), maxLength: 7 });
const asRegularExpression = (glob: string): RegExp => new RegExp(`^${glob.split("*").join(".*")}$`);

test("a star stands for any characters, also none: as in a regular expression, for any pattern and text", () => {
  fc.assert(
    fc.property(pattern, text, (glob, name) => {
      expect(compileGlob(glob)(name)).toBe(asRegularExpression(glob).test(name));
    }),
    { numRuns: 5_000 },
  );
});

test("the parts between stars follow one another, and none is used twice", () => {
  expect(["xab", "xabxab", "abab"].map(compileGlob("*ab*ab*"))).toEqual([false, true, true]);
  expect(["aba", "abba", "abxba"].map(compileGlob("ab*ba"))).toEqual([false, true, true]);
  expect(["abc", "abxc", "axbxc", "acb"].map(compileGlob("a*b*c"))).toEqual([true, true, true, false]);
  expect(["ab", "abab", "a", ""].map(compileGlob("ab"))).toEqual([true, false, false, false]);
  expect(["ab", "abb"].map(compileGlob("a*b*b"))).toEqual([false, true]);
});

test("any of several patterns matches, literal or not; of none, nothing does", () => {
  const matches = compileGlobs(["exact", "pre*"]);
  expect(["exact", "prefix", "exactly", "xpre"].map(matches)).toEqual([true, true, false, false]);
  expect(["", "a", "*"].map(compileGlobs([]))).toEqual([false, false, false]);
});
