import { expect, test } from "bun:test";
import { Admission } from "../../../src/base/time/admission.ts";
import { settle, VirtualClock } from "../../support/virtual-clock.ts";

function make(options: { atOnce?: number; waitingMax?: number } = {}) {
  const clock = new VirtualClock();
  const admission = new Admission({
    clock,
    atOnce: options.atOnce ?? 2,
    waitingMax: options.waitingMax ?? 3,
    waitMaxMs: 1_000,
    refusal: () => new Error("busy"),
  });
  const begun: number[] = [];
  const ends: (() => void)[] = [];
  const outcomes: string[] = [];
  const call = (number: number): void => {
    admission
      .run(() => {
        begun.push(number);
        return new Promise<void>((resolve) => ends.push(resolve));
      })
      .then(
        () => outcomes.push(`${number} done`),
        (error: Error) => outcomes.push(`${number} ${error.message}`),
      );
  };
  return { clock, admission, begun, ends, outcomes, call };
}

test("so many work at once, the others in their order", async () => {
  const { begun, ends, call, admission } = make();
  for (let number = 1; number <= 5; number++) call(number);
  await settle();
  expect(begun).toEqual([1, 2]);
  expect(admission.waiting).toBe(3);
  ends[1]!();
  await settle();
  expect(begun).toEqual([1, 2, 3]);
  for (let index = 0; index < 5; index++) {
    ends[index]?.();
    await settle();
  }
  expect(begun).toEqual([1, 2, 3, 4, 5]);
  expect(admission.waiting).toBe(0);
});

test("who comes when the line is full is refused at once; who has waited too long, when its turn comes", async () => {
  const { clock, begun, ends, outcomes, call } = make({ atOnce: 1, waitingMax: 2 });
  for (let number = 1; number <= 4; number++) call(number);
  await settle();
  expect(outcomes).toEqual(["4 busy"]);
  await clock.advance(1_001);
  call(5);
  await settle();
  // Full still: those that have waited too long are in line.
  expect(outcomes).toEqual(["4 busy", "5 busy"]);
  ends[0]!();
  await settle();
  expect(outcomes).toEqual(["4 busy", "5 busy", "1 done", "2 busy", "3 busy"]);
  call(6);
  await settle();
  expect(begun).toEqual([1, 6]);
});

test("work that fails gives its place on", async () => {
  const { admission } = make({ atOnce: 1 });
  const failing = admission.run(() => Promise.reject(new Error("broken")));
  await failing.catch(() => undefined);
  expect(failing).rejects.toThrow("broken");
  expect(await admission.run(async () => 7)).toBe(7);
});
