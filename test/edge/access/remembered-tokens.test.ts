import { expect, test } from "bun:test";
import { RememberedTokens } from "../../../src/edge/access/remembered-tokens.ts";

test("a token's name is known until its time is over, and not at that moment", () => {
  const remembered = new RememberedTokens();
  remembered.remember("digest", "app", 1_000);
  expect([0, 999, 1_000].map((nowMs) => remembered.nameOf("digest", nowMs))).toEqual(["app", "app", undefined]);
  expect(remembered.nameOf("other", 0)).toBeUndefined();
  remembered.remember("digest", "app", 2_000);
  expect(remembered.nameOf("digest", 1_999)).toBe("app");
  remembered.clear();
  expect(remembered.nameOf("digest", 0)).toBeUndefined();
});

test("ten thousand are known at a time; the next one makes room", () => {
  const remembered = new RememberedTokens();
  for (let index = 0; index < 10_000; index++) remembered.remember(`digest-${index}`, "app", 1);
  expect(remembered.nameOf("digest-0", 0)).toBe("app");
  remembered.remember("one more", "app", 1);
  expect(["digest-0", "digest-9999", "one more"].map((digest) => remembered.nameOf(digest, 0))).toEqual([
    undefined,
    undefined,
    "app",
  ]);
});
