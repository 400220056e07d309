import { expect, test } from "bun:test";
import type { EventPublisher } from "../../src/edge/revocation/event-publisher.ts";
import { publisherRules } from "../../src/sdk/conformance/publisher.ts";
import { runRules } from "../../src/sdk/conformance/rules.ts";

/** Keeps every rule; each case below breaks one. */
function honest(more: Partial<EventPublisher> = {}): EventPublisher {
  return { name: "honest", async publish() {}, async close() {}, ...more };
}

const SOON_MS = 200;
const outcomes = async (make: () => EventPublisher) =>
  Object.fromEntries(
    (await runRules(publisherRules(make(), async () => make(), SOON_MS))).map(({ rule, outcome }) => [rule, outcome]),
  );

test("a publisher that keeps the contract keeps every rule", async () => {
  expect(await outcomes(() => honest())).toEqual({ publish: "kept", many: "kept", away: "kept", close: "kept" });
  // One that could not send may say so.
  const rejecting = { publish: () => Promise.reject(new Error("the broker is away")) };
  expect(await outcomes(() => honest(rejecting))).toMatchObject({ publish: "kept", away: "kept" });
});

test.each<[string, Partial<EventPublisher>, string]>([
  [
    "throws",
    {
      publish: () => {
        throw new Error("away");
      },
    },
    "publish",
  ],
  ["never settles", { publish: () => new Promise<void>(() => {}) }, "publish"],
  ["never closes", { close: () => new Promise<void>(() => {}) }, "away"],
])(
  "one that %s is found",
  async (_, more, rule) => {
    expect((await outcomes(() => honest(more)))[rule]).toBe("broken");
  },
  60_000,
);

test("one that throws once it is closed is found", async () => {
  const closing = (): EventPublisher => {
    let closed = false;
    return honest({
      publish() {
        if (closed) throw new Error("closed");
      },
      async close() {
        closed = true;
      },
    });
  };
  expect(await outcomes(closing)).toEqual({ publish: "kept", many: "kept", away: "kept", close: "broken" });
});

test("one that can be closed but once is found", async () => {
  const once = (): EventPublisher => {
    let closed = false;
    return honest({
      async close() {
        if (closed) throw new Error("closed");
        closed = true;
      },
    });
  };
  expect((await outcomes(once)).close).toBe("broken");
});
