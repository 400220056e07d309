import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { makeFolder } from "./support/broker.ts";
import { exploreModel } from "./support/spin.ts";

const MODEL = join(import.meta.dir, "../model/revocation.pml");

let folder: ReturnType<typeof makeFolder>;
beforeAll(() => {
  folder = makeFolder();
});
afterAll(() => folder.remove());

describe("the model of the guard and the lease race", () => {
  test("holds in every state: no key in use whose revocation was applied, or gone past", async () => {
    const { states, errors, complete } = await exploreModel(folder.path, MODEL, "-DEVENTS=4");
    expect({ errors, complete }).toEqual({ errors: 0, complete: true });
    expect(states).toBeGreaterThan(1_000_000);
  }, 300_000);

  test("holds with an authority's blocks: only what the Core restores after one lifts it", async () => {
    const { states, errors, complete } = await exploreModel(folder.path, MODEL, "-DEVENTS=3", "-DAUTHORITY");
    expect({ errors, complete }).toEqual({ errors: 0, complete: true });
    expect(states).toBeGreaterThan(1_000_000);
  }, 300_000);

  test("does not hold where a restoration on its way lifts an authority's block", async () => {
    const { errors } = await exploreModel(folder.path, MODEL, "-DEVENTS=2", "-DAUTHORITY", "-DWITHOUT_FENCE");
    expect(errors).toBe(1);
  }, 300_000);

  test("does not hold without the rule about revocation_seq", async () => {
    const { errors } = await exploreModel(folder.path, MODEL, "-DEVENTS=3", "-DWITHOUT_RULE");
    expect(errors).toBe(1);
  }, 300_000);

  test("holds by that rule alone for answers under way when every lease was dropped", async () => {
    const { errors, complete } = await exploreModel(folder.path, MODEL, "-DEVENTS=3", "-DWITHOUT_EPOCH");
    expect({ errors, complete }).toEqual({ errors: 0, complete: true });
  }, 300_000);
});
