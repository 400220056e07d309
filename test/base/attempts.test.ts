import { describe, expect, test } from "bun:test";
import { Attempts } from "../../src/base/attempt-queue.ts";
import { aloneTurns, attemptInTurn, FinalFailure } from "../../src/base/attempts.ts";

describe("attempts that must not be repeated blindly", () => {
  test("run one at a time, and go on after an ordinary failure", async () => {
    const turns = aloneTurns();
    let running = 0;
    const attempt = (fails: boolean) =>
      attemptInTurn(turns, "login", async () => {
        expect(++running).toBe(1);
        await Bun.sleep(1);
        running--;
        if (fails) throw new Error("away");
        return "in";
      });
    const results = await Promise.allSettled([attempt(true), attempt(false), attempt(false)]);
    expect(results.map(({ status }) => status)).toEqual(["rejected", "fulfilled", "fulfilled"]);
  });

  test("end for all, those that wait too, once one has failed for good", async () => {
    const turns = aloneTurns();
    let runs = 0;
    const attempt = () =>
      attemptInTurn(turns, "login", async () => {
        runs++;
        await Bun.sleep(1);
        throw new FinalFailure("the PIN is wrong");
      });
    const results = await Promise.allSettled([attempt(), attempt(), attempt()]);
    for (const result of results) {
      expect(result).toMatchObject({
        status: "rejected",
        reason: expect.objectContaining({ message: "the PIN is wrong" }),
      });
    }
    await expect(attempt()).rejects.toThrow(FinalFailure);
    expect(runs).toBe(1);
    // Another token is another matter.
    expect(await attemptInTurn(turns, "other", () => "in")).toBe("in");
  });

  test("end for all when a process ends in the midst of one: nobody knows how it went", async () => {
    const attempts = new Attempts<string>();
    expect(await attempts.claim("login", "worker 1")).toBeUndefined();
    const second = attempts.claim("login", "worker 2");
    const third = attempts.claim("login", "worker 3");
    attempts.gone("worker 3");
    attempts.gone("worker 1");
    expect(await second).toContain("a process ended in the midst of it");
    expect(await attempts.claim("login", "worker 1")).toContain("start the edge anew");
    expect(await Promise.race([third, Bun.sleep(5).then(() => "never asked")])).toBe("never asked");
  });
});
