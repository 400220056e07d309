import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { makeFolder } from "./support/broker.ts";
import { exploreModel } from "./support/spin.ts";

const MODEL = join(import.meta.dir, "../model/two-cores.pml");

let folder: ReturnType<typeof makeFolder>;
beforeAll(() => {
  folder = makeFolder();
});
afterAll(() => folder.remove());

describe("the model of two Cores over one store", () => {
  test("holds in every state: no key in use past its revocation, no heartbeat that vouches for too much", async () => {
    const { states, errors, complete } = await exploreModel(folder.path, MODEL, "-DEVENTS=4");
    expect({ errors, complete }).toEqual({ errors: 0, complete: true });
    expect(states).toBeGreaterThan(10_000);
  }, 300_000);

  test.each(["WITHOUT_SNAPSHOT", "WITHOUT_REFRESH", "WITHOUT_VOUCHING"])(
    "does not hold %s",
    async (rule) => {
      const { errors } = await exploreModel(folder.path, MODEL, "-DEVENTS=4", `-D${rule}`);
      expect(errors).toBe(1);
    },
    300_000,
  );
});
