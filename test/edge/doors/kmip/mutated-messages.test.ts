import { expect, test } from "bun:test";
import { ITEMS_MAX } from "../../../../src/edge/doors/kmip/ttlv.ts";
import { attack } from "./mutated-messages.ts";

test("of tens of thousands of mutated messages none is accepted wrongly, none costs more than its length allows, none leaves a thing open", async () => {
  const { accepted, mostSteps } = await attack(20_000, 4711);
  // Else the mutations would be so coarse that nothing behind the framing is tried.
  expect(accepted).toBeGreaterThan(500);
  expect(mostSteps).toBeLessThanOrEqual(ITEMS_MAX + 1);
}, 300_000);
