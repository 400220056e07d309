import { expect, test } from "bun:test";
import { GapFiller } from "../../../src/edge/revocation/gap-filler.ts";
import { LogPosition } from "../../../src/edge/revocation/log-position.ts";
import { DEFAULT_LIMITS } from "../../../src/edge/revocation/revocation-guard.ts";
import type { RevocationEvent } from "../../../src/edge/revocation/revocation-transport.ts";
import { settle, VirtualClock } from "../../support/virtual-clock.ts";
import { heartbeat, LOG } from "./world.ts";

test("a gap that came while the Core was asked for its log is asked for after it, when the Core did not know of it yet", async () => {
  const clock = new VirtualClock();
  const position = new LogPosition(10);
  position.startAt(LOG, 5);
  const asked: ((event: RevocationEvent) => void)[] = [];
  const givenUp: string[] = [];
  const gaps = new GapFiller({
    clock,
    position,
    limits: DEFAULT_LIMITS,
    core: {
      follow(_lastEventId, onEvent) {
        asked.push(onEvent);
        return new Promise(() => {});
      },
    },
    onEvent() {},
    onGivenUp: (reason) => void givenUp.push(reason),
    onFilled() {},
  });
  gaps.probe();
  position.newestSeq = 9;
  gaps.fillSoon();
  await clock.advance(DEFAULT_LIMITS.gapGraceMs);
  expect(asked).toHaveLength(1);
  asked[0]!(heartbeat(7));
  await settle();
  expect(gaps.isAtWork).toBe(true);
  await clock.advance(DEFAULT_LIMITS.gapGraceMs);
  expect(asked).toHaveLength(2);
  expect(givenUp).toEqual([]);
  // Now the Core knows of it, and does not send it.
  asked[1]!(heartbeat(9));
  await settle();
  expect(givenUp).toEqual(["the Core does not have them"]);
  gaps.close();
});
