import { expect, test } from "bun:test";
import type { PluginContext } from "../../src/edge/plugin-host/plugin.ts";
import { connectedPublisher, type PublisherConnection } from "../../src/sdk/plugin/broker.ts";
import { LOG, noteTo, revoke, V3 } from "../edge/revocation/world.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

test("a publisher whose broker does not keep an event connects anew, says why, and sends it again, in order", async () => {
  const clock = new VirtualClock();
  const lines: string[] = [];
  const kept: string[] = [];
  let sessions = 0;
  /** The connection lives until it is told to end, as a broker's does that only lacks a leader for the stream. */
  const session = async (signal: AbortSignal, up: (connection: PublisherConnection) => void): Promise<void> => {
    sessions++;
    const isSick = sessions === 1;
    up({
      async keep(jws) {
        if (isSick) throw new Error("no leader");
        kept.push(jws);
      },
      tell() {},
    });
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    throw new Error("the connection ended");
  };
  const context = { clock, log: noteTo(lines) } as unknown as PluginContext;
  const publisher = connectedPublisher("broker", "a broker", context, session);
  for (const seq of [1, 2, 3]) publisher.publish(revoke(seq, V3), `${LOG}:${seq}`);
  await clock.advance(1_000);
  expect(sessions).toBe(2);
  expect(kept).toEqual([`${LOG}:1`, `${LOG}:2`, `${LOG}:3`]);
  expect(lines.filter((line) => line.includes("an event was not kept: no leader"))).toHaveLength(1);
  const closed = publisher.close?.();
  await clock.advance(10_000);
  await closed;
});
