import { expect, test } from "bun:test";
import { cross } from "./crossing.ts";

test("what one implementation makes, every other opens, and none opens what was altered (npm run test:cipher: a million)", () => {
  const { opened, refused } = cross(6_000, 20_260_101);
  expect(opened).toBeGreaterThan(2_000);
  expect(refused).toBeGreaterThan(500);
}, 300_000);
