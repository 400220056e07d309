import { expect, test } from "bun:test";
import { nameInPath } from "../../../src/edge/doors/path-name.ts";
import { fc } from "../../support/properties.ts";

test("a name is what its segment says, with what can't stand in one escaped", () => {
  expect(nameInPath("billing")).toBe("billing");
  expect(nameInPath("a:b")).toBe("a:b");
  expect(nameInPath("a%3Ab")).toBe("a:b");
  expect(nameInPath("a%20b%2A")).toBe("a b*");
  expect(nameInPath("%C3%BC")).toBe("ü");
});

test("what is escaped without need, parts a path, or is no text is none", () => {
  for (const segment of [
    "%62illing",
    "bill%69ng",
    "a%2Db",
    "a%2fb",
    "a%5Cb",
    "a%00",
    "a%0a",
    "%",
    "%zz",
    "%2",
    "%ff",
    "%C3%28",
    "a%2e%2e",
  ]) {
    expect([segment, nameInPath(segment)]).toEqual([segment, undefined]);
  }
});

test("what encodeURIComponent makes of a name without a slash is read as that name", () => {
  fc.assert(
    fc.property(fc.string(), (name) => {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are refused.
      fc.pre(!/[/\\\u0000-\u001f\u007f-\u009f]/.test(name) && name.isWellFormed());
      expect(nameInPath(encodeURIComponent(name))).toBe(name);
    }),
  );
});
