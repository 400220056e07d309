import { describe, expect, test } from "bun:test";
import type { CircuitState } from "../../../src/base/time/circuit-breaker.ts";
import { LeaseClock } from "../../../src/edge/cache/lease-clock.ts";
import { type SourceCall, SourceNotCalled } from "../../../src/edge/cache/source-call.ts";
import { DEFAULT_CALL_LIMITS, type SourceCallLimits, SourceCalls } from "../../../src/edge/cache/source-calls.ts";
import { settle, VirtualClock } from "../../support/virtual-clock.ts";
import { AskedSource, codeOf } from "./world.ts";

function start(limits: Partial<SourceCallLimits> = {}, random: () => number = () => 0.5) {
  const clock = new VirtualClock();
  const source = new AskedSource();
  const states: CircuitState[] = [];
  const calls = new SourceCalls({
    source,
    time: new LeaseClock(clock, () => {}),
    schedule: (delayMs, callback) => clock.schedule(delayMs, callback),
    random,
    limits: { ...DEFAULT_CALL_LIMITS, ...limits },
    onCircuit: (state) => states.push(state),
  });
  let number = 0;
  const ask = (demanded = true) => calls.ask({ tenant: "tenant-a", service: `service-${number++}` }, demanded);
  /** Asks, and answers what became of it. */
  const outcome = async (): Promise<string> => {
    try {
      await ask().answer;
      return "answered";
    } catch (error) {
      return error instanceof SourceNotCalled ? error.code : "failed";
    }
  };
  return { clock, source, states, calls, ask, outcome };
}

const waitOf = (error: unknown): number => (error as SourceNotCalled).retryAfterMs;

describe("calls in flight", () => {
  test("are bounded, the bound growing with success and halving with failure", async () => {
    const { source, calls, ask } = start({ maxInFlight: 16 });
    for (let index = 0; index < 200; index++) ask();
    expect(calls.inFlight).toBe(4);
    for (let index = 0; index < 40; index++) await source.questions[index]!.grant();
    expect(calls.bound).toBe(16);
    expect(calls.inFlight).toBe(16);
    await source.questions[40]!.fail("unavailable");
    expect(calls.bound).toBe(8);
    await source.questions[41]!.fail("unavailable");
    expect(calls.bound).toBe(8);
  });

  test("leave room for those who wait: renewals take half of it, and come after", async () => {
    const { source, calls, ask } = start();
    for (let index = 0; index < 10; index++) ask(false);
    expect(calls.inFlight).toBe(2);
    const demanded = ask();
    expect(demanded.begun).toBe(true);
    const late = ask(false);
    expect(late.begun).toBe(false);
    calls.demand(late);
    expect(late.begun).toBe(true);
    expect(source.questions).toHaveLength(4);
  });

  test("time out, are aborted, and count as failed", async () => {
    const { clock, source, calls, ask } = start({ callTimeoutMs: 1_000 });
    const code = codeOf(() => ask().answer);
    await clock.advance(1_000);
    expect(await code).toBe("unavailable");
    expect(source.questions[0]!.signal.aborted).toBe(true);
    expect(calls).toMatchObject({ inFlight: 0, failures: 1 });
    expect(clock.pending).toBe(0);
  });

  test("that can't begin in time are refused, and so are more than may wait", async () => {
    const { clock, calls, ask, outcome } = start({ maxInFlight: 1, maxWaiting: 2, maxWaitMs: 1_000 });
    ask();
    const waiting = [outcome(), outcome()];
    expect(await outcome()).toBe("busy");
    await clock.advance(1_000);
    expect(await Promise.all(waiting)).toEqual(["busy", "busy"]);
    expect(calls).toMatchObject({ inFlight: 1, waiting: 0 });
  });
});

describe("the circuit", () => {
  test("opens after failures in a row, tries one call, and closes when it answers", async () => {
    const { clock, source, states, calls, ask, outcome } = start();
    for (let index = 0; index < 5; index++) {
      const code = codeOf(() => ask().answer);
      await source.questions[index]!.fail("unavailable");
      expect(await code).toBe("unavailable");
    }
    expect(await outcome()).toBe("circuit_open");
    expect(source.questions).toHaveLength(5);

    await clock.advance(200);
    const trying = ask();
    const behind = ask();
    expect(calls.state).toBe("half_open");
    expect(source.questions).toHaveLength(6);
    await source.questions[5]!.grant();
    expect(await trying.answer).toBeDefined();
    expect(behind.begun).toBe(true);
    expect(calls.bound).toBe(2);
    expect(states).toEqual(["open", "half_open", "closed"]);
  });

  test("is not opened by authoritative answers", async () => {
    const { source, calls, ask } = start();
    source.answer = (question) => question.fail("key_not_found");
    for (let index = 0; index < 20; index++) await codeOf(() => ask().answer);
    expect(calls).toMatchObject({ state: "closed", failures: 0, calls: 20 });
  });

  test("refuses those who wait when it opens, rather than keep them", async () => {
    const { source, ask, outcome } = start({ maxInFlight: 1, failuresToOpen: 1 });
    const first = codeOf(() => ask().answer);
    const waiting = [outcome(), outcome()];
    await source.questions[0]!.fail("unavailable");
    expect(await first).toBe("unavailable");
    expect(await Promise.all(waiting)).toEqual(["circuit_open", "circuit_open"]);
  });

  test("tries at most every second or two, so that service is back soon after the source", async () => {
    const { clock, source, outcome } = start({}, Math.random);
    source.answer = (question) => question.fail("unavailable");
    const triesPerTenSeconds: number[] = [];
    for (let turn = 0; turn < 3; turn++) {
      const before = source.questions.length;
      for (let elapsedMs = 0; elapsedMs < 10_000; elapsedMs += 20) {
        await outcome();
        await clock.advance(20);
      }
      triesPerTenSeconds.push(source.questions.length - before);
    }
    for (const tries of triesPerTenSeconds) expect(tries).toBeWithin(5, 60);
    source.answer = (question) => question.grant();
    let waitedMs = 0;
    for (; (await outcome()) !== "answered"; waitedMs += 20) await clock.advance(20);
    expect(waitedMs).toBeLessThanOrEqual(1_520);
  });

  test("waits longer after a long outage, when a fleet has lost all its leases", async () => {
    const { clock, source, ask, outcome } = start({}, () => 0.999999);
    source.answer = (question) => question.fail("unavailable");
    for (let elapsedMs = 0; elapsedMs < 700_000; elapsedMs += 500) {
      await outcome();
      await clock.advance(500);
    }
    const before = source.questions.length;
    let error: unknown;
    while (source.questions.length === before) {
      await ask().answer.catch(() => {});
      await clock.advance(100);
    }
    await ask().answer.catch((reason) => {
      error = reason;
    });
    expect(waitOf(error)).toBeWithin(14_000, 15_001);
  });

  test("is not held up by calls that hang from before it opened", async () => {
    const { clock, source, ask } = start({ failuresToOpen: 1, callTimeoutMs: 60_000 });
    ask();
    const failing = codeOf(() => ask().answer);
    await source.questions[1]!.fail("unavailable");
    await failing;
    await clock.advance(200);
    const trying = ask();
    expect(trying.begun).toBe(true);
  });

  test("learns nothing from an answer to a call from before it opened: the bound stays where the trial left it", async () => {
    const { clock, source, calls, ask } = start({ failuresToOpen: 1, callTimeoutMs: 60_000 });
    const early = ask();
    const failing = codeOf(() => ask().answer);
    await source.questions[1]!.fail("unavailable");
    await failing;
    await clock.advance(200);
    ask();
    await source.questions[2]!.grant();
    expect(calls).toMatchObject({ state: "closed", bound: 2 });
    await source.questions[0]!.grant();
    expect(await early.answer).toBeDefined();
    expect(calls.bound).toBe(2);
  });

  test("pays no heed to a wall clock that was set back", async () => {
    const { clock, source, ask } = start({ failuresToOpen: 1 });
    const failing = codeOf(() => ask().answer);
    await source.questions[0]!.fail("unavailable");
    await failing;
    clock.jumpWall(-3_600_000);
    await clock.advance(200);
    expect(ask().begun).toBe(true);
  });
});

describe("Retry-After", () => {
  test("is kept to by all calls, and never by two edges at the same moment", async () => {
    const waitsMs = new Set<number>();
    for (const random of [0, 0.25, 0.9]) {
      const { clock, source, ask, outcome } = start({}, () => random);
      const failing = codeOf(() => ask().answer);
      await source.questions[0]!.fail("unavailable", 10_000);
      await failing;
      await clock.advance(9_999);
      expect(await outcome()).toBe("circuit_open");
      let waitedMs = 9_999;
      for (; !ask().begun; waitedMs += 100) await clock.advance(100);
      waitsMs.add(waitedMs);
      expect(waitedMs).toBeWithin(9_999, 20_100);
    }
    expect(waitsMs.size).toBe(3);
  });

  test("however short opens the circuit; of nothing it is no wish", async () => {
    for (const [wishMs, state] of [
      [1, "open"],
      [0, "closed"],
    ] as const) {
      const { source, calls, ask } = start();
      const failing = codeOf(() => ask().answer);
      await source.questions[0]!.fail("unavailable", wishMs);
      await failing;
      expect(calls.state).toBe(state);
    }
  });

  test("of a year is not believed", async () => {
    const { clock, source, ask } = start({ retryAfterMaxMs: 60_000 });
    const failing = codeOf(() => ask().answer);
    await source.questions[0]!.fail("unavailable", 31_536_000_000);
    await failing;
    await clock.advance(120_000);
    expect(ask().begun).toBe(true);
  });
});

test("more calls at once than the budget of misses has are not made, and told when to come again", async () => {
  const { source, calls, ask, outcome } = start({ missBudget: { perSecond: 1_000, burst: 2 } });
  const first = ask();
  ask();
  const refused = ask();
  expect(await outcome()).toBe("misses_exhausted");
  expect(waitOf(await refused.answer.catch((error) => error))).toBe(1);
  expect(calls).toMatchObject({ calls: 2, failures: 0, inFlight: 2 });
  // What was found is no miss.
  await source.questions[0]!.grant();
  await first.answer;
  expect(ask().begun).toBe(true);
});

test("after close nothing is asked, and what was asked rejects", async () => {
  const { clock, source, calls, ask, outcome } = start({ maxInFlight: 1 });
  const inFlight = outcome();
  const waiting = outcome();
  calls.close();
  calls.close();
  expect([await inFlight, await waiting, await outcome()]).toEqual(["closed", "closed", "closed"]);
  expect(source.questions[0]!.signal.aborted).toBe(true);
  await settle();
  expect(clock.pending).toBe(0);
  expect(ask().begun).toBe(false);
});

describe("a call of the background that somebody waits for", () => {
  test("is made once, however many wait, and at once where there is room for those who wait", async () => {
    const { source, calls, ask } = start();
    for (let index = 0; index < 2; index++) ask(false);
    const waiting = ask(false);
    for (let times = 0; times < 3; times++) calls.demand(waiting);
    expect([waiting.begun, source.questions.length, calls.waiting]).toEqual([true, 3, 0]);
    for (let times = 0; times < 3; times++) calls.demand(waiting);
    expect([source.questions.length, calls.calls, calls.inFlight]).toEqual([3, 3, 3]);
  });

  test("goes before the background, behind those who wait already, and is one of them from now on", async () => {
    const { clock, source, calls, ask } = start({ maxInFlight: 1, maxWaitMs: 1_000 });
    ask();
    const background = ask(false);
    const late = ask(false);
    const first = ask();
    await clock.advance(600);
    calls.demand(late);
    expect(calls.waiting).toBe(3);
    await source.questions[0]!.grant();
    expect([first.begun, late.begun, background.begun]).toEqual([true, false, false]);
    // Its time to wait counts from when somebody did.
    await clock.advance(999);
    const busy = codeOf(() => late.answer);
    expect(calls.waiting).toBe(2);
    await clock.advance(1);
    expect(await busy).toBe("busy");
    expect(calls.waiting).toBe(1);
    await source.questions[1]!.grant();
    expect(background.begun).toBe(true);
  });

  test("that began before anybody waited is not made again, nor one that was refused", async () => {
    const { source, calls, ask } = start({ failuresToOpen: 1, maxInFlight: 2 });
    const begun = ask(false);
    const waiting = ask(false);
    const last = ask(false);
    calls.demand(begun);
    expect(source.questions).toHaveLength(1);
    await source.questions[0]!.fail("unavailable");
    calls.demand(waiting);
    calls.demand(last);
    expect([source.questions.length, calls.waiting]).toEqual([1, 0]);
    expect(await codeOf(() => waiting.answer)).toBe("circuit_open");
  });
});

describe("without limits of its own, the cache", () => {
  test("has no more than 32 calls in flight", async () => {
    const { source, calls, ask } = start();
    source.answer = (question) => question.grant();
    for (let index = 0; index < 1_000; index++) await ask().answer;
    source.answer = undefined;
    for (let index = 0; index < 40; index++) ask();
    expect([calls.inFlight, calls.waiting]).toEqual([32, 8]);
  });

  test("lets 10,000 wait, and the background beside them", async () => {
    const { calls, ask, outcome } = start();
    for (let index = 0; index < 10_004; index++) ask();
    expect([await outcome(), calls.waiting]).toEqual(["busy", 10_000]);
    ask(false);
    expect(calls.waiting).toBe(10_001);
  });

  test("lets each wait for five seconds", async () => {
    const { clock, calls, ask, outcome } = start({ maxInFlight: 1, callTimeoutMs: 60_000 });
    ask();
    const waiting = outcome();
    await clock.advance(4_999);
    expect(calls.waiting).toBe(1);
    await clock.advance(1);
    expect(await waiting).toBe("busy");
  });

  test("makes 64 calls for keys that are not there, and 20 a second after them", async () => {
    const { clock, source, ask, outcome } = start();
    source.answer = (question) => question.fail("key_not_found");
    for (let index = 0; index < 64; index++) expect(await outcome()).toBe("failed");
    const error = await ask().answer.catch((reason) => reason);
    expect([(error as SourceNotCalled).code, waitOf(error)]).toEqual(["misses_exhausted", 50]);
    await clock.advance(50);
    expect([await outcome(), await outcome()]).toEqual(["failed", "misses_exhausted"]);
    // The background pays nothing.
    expect(ask(false).begun).toBe(true);
    await clock.advance(10_000);
    for (let index = 0; index < 64; index++) expect(await outcome()).toBe("failed");
    expect(await outcome()).toBe("misses_exhausted");
  });

  test("keeps to a Retry-After of five minutes, and to no longer one", async () => {
    const { clock, source, ask, outcome } = start({}, () => 0);
    const failing = outcome();
    await source.questions[0]!.fail("unavailable", 300_001);
    await failing;
    await clock.advance(299_999);
    expect(await outcome()).toBe("circuit_open");
    await clock.advance(1);
    expect(ask().begun).toBe(true);
  });

  test("gives up a call after five seconds, and says so", async () => {
    const { clock, ask } = start();
    const waiting = ask().answer.catch((error: Error) => error.message);
    await clock.advance(4_999);
    expect(clock.pending).toBe(1);
    await clock.advance(1);
    expect(await waiting).toBe("The key source gave no answer within 5000 ms.");
  });
});

test("each call that waits too long is refused at its own time, told when to come again, and the others wait on", async () => {
  const { clock, calls, ask } = start({ maxInFlight: 1, maxWaitMs: 1_000 });
  ask();
  const waiting: SourceCall[] = [];
  for (let index = 0; index < 3; index++) {
    waiting.push(ask());
    await clock.advance(300);
  }
  await clock.advance(99);
  expect(calls.waiting).toBe(3);
  for (const [index, call] of waiting.entries()) {
    await clock.advance(index === 0 ? 1 : 300);
    expect(waitOf(await call.answer.catch((error) => error))).toBe(1_000);
    expect(calls.waiting).toBe(2 - index);
  }
});

test("no timer waits for calls that have begun", async () => {
  const { clock, source, calls, ask } = start({ maxInFlight: 1 });
  for (let index = 0; index < 3; index++) ask();
  for (const question of [0, 1, 2]) await source.questions[question]!.grant();
  expect([calls.inFlight, calls.waiting, clock.pending]).toEqual([0, 0, 0]);
});

test("a call that is made while the circuit tries begins the next period anew: one at a time", async () => {
  const { clock, source, calls, ask } = start({ failuresToOpen: 1, callTimeoutMs: 60_000 });
  const failing = codeOf(() => ask().answer);
  await source.questions[0]!.fail("unavailable");
  await failing;
  await clock.advance(200);
  const [trying, behind] = [ask(), ask()];
  expect([trying.begun, behind.begun]).toEqual([true, false]);
  const refused = codeOf(() => behind.answer);
  await source.questions[1]!.fail("unavailable");
  expect([await refused, calls.state, calls.failures]).toEqual(["circuit_open", "open", 2]);
  await clock.advance(400);
  const [again, next] = [ask(), ask()];
  expect([again.begun, next.begun]).toEqual([true, false]);
  await source.questions[2]!.fail("key_not_found");
  expect([calls.state, next.begun]).toEqual(["closed", true]);
});

test("a trial that ends without a word about the source leaves the next one to try", async () => {
  const { clock, source, calls, ask } = start({ failuresToOpen: 1 });
  const failing = codeOf(() => ask().answer);
  await source.questions[0]!.fail("unavailable");
  await failing;
  await clock.advance(200);
  const [trying, next] = [ask(), ask()];
  expect([trying.begun, next.begun]).toEqual([true, false]);
  const busy = codeOf(() => trying.answer);
  await source.questions[1]!.throwAnything(new SourceNotCalled("busy", "Too many wait.", 100));
  expect([await busy, calls.state, next.begun]).toEqual(["busy", "half_open", true]);
  await source.questions[2]!.grant();
  expect(calls.state).toBe("closed");
});

test("an answer that comes after the edge stopped, or too late, is neither a success nor a failure", async () => {
  const { clock, source, calls, ask } = start({ failuresToOpen: 1, callTimeoutMs: 1_000 });
  const closing = start();
  const stopped = closing.outcome();
  closing.calls.close();
  expect([await stopped, closing.calls.failures]).toEqual(["closed", 0]);
  expect(closing.calls.inFlight).toBe(0);
  const late = codeOf(() => ask().answer);
  await clock.advance(1_000);
  await late;
  const grant = await source.questions[0]!.grant();
  expect(grant.versions[0]!.key).toEqual(new Uint8Array(32));
  expect(calls).toMatchObject({ inFlight: 0, failures: 1, state: "open" });
});

test("an answer counts from the moment of asking, by both clocks", async () => {
  const { clock, source, ask } = start({ maxInFlight: 1 });
  ask();
  const second = ask();
  const askedMs = clock.monotonicMs();
  await clock.advance(1_000);
  await source.questions[0]!.grant();
  await clock.advance(2_000);
  await source.questions[1]!.grant();
  expect(await second.answer).toMatchObject({ askedMs: askedMs + 1_000, askedWallMs: clock.wallMs() - 2_000 });
});
