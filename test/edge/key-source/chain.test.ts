import { expect, test } from "bun:test";
import { createChain } from "../../../src/edge/key-source/chain.ts";
import {
  type KeySource,
  KeySourceError,
  type LeaseGrant,
  type LeaseRequest,
} from "../../../src/edge/key-source/key-source.ts";
import { settle, VirtualClock } from "../../support/virtual-clock.ts";

const REQUEST: LeaseRequest = { tenant: "tenant-a", service: "billing" };
const NEVER = new AbortController().signal;

type Answer = "grant" | KeySourceError | Error | "hang";

/** A source whose answer a test changes as it goes. */
class Scripted implements KeySource {
  readonly name: string;
  answer: Answer = "grant";
  calls = 0;
  closed = 0;
  grants: LeaseGrant[] = [];
  #late: ((grant: LeaseGrant) => void)[] = [];

  constructor(name: string) {
    this.name = name;
  }

  async lease(request: LeaseRequest): Promise<LeaseGrant> {
    this.calls++;
    if (this.answer === "hang") return new Promise((resolve) => this.#late.push(resolve));
    if (this.answer !== "grant") throw this.answer;
    return this.#grant(request);
  }

  answerLate(): LeaseGrant {
    const grant = this.#grant(REQUEST);
    for (const resolve of this.#late) resolve(grant);
    return grant;
  }

  async close(): Promise<void> {
    this.closed++;
  }

  #grant({ tenant, service }: LeaseRequest): LeaseGrant {
    const versions = [{ version: 1, state: "active" as const, key: new Uint8Array(32).fill(7) }];
    return { tenant, service, ttlMs: 1000, refreshAfterMs: 500, log: undefined, revocationSeq: 0, versions };
  }
}

function world() {
  const clock = new VirtualClock();
  const first = new Scripted("first");
  const second = new Scripted("second");
  const circuits: string[] = [];
  const chain = createChain({
    sources: [first, second],
    clock,
    attemptTimeoutMs: 100,
    failuresToOpen: 2,
    open: { firstMs: 1_000, maxMs: 4_000 },
    random: () => 1,
    onCircuit: (source, state) => circuits.push(`${source} ${state}`),
  });
  return { clock, first, second, chain, circuits };
}

const away = new KeySourceError("unavailable", "connection refused");

test("the first source is asked alone while it answers, and the grant says which it was", async () => {
  const { first, second, chain } = world();
  expect((await chain.lease(REQUEST, NEVER)).source).toBe("first");
  expect([first.calls, second.calls]).toEqual([1, 0]);
});

test("the next source is asked when one is unavailable, whatever it threw", async () => {
  const { first, chain } = world();
  for (const answer of [away, new TypeError("a defect")]) {
    first.answer = answer;
    expect((await chain.lease(REQUEST, NEVER)).source).toBe("second");
  }
});

test("no such key, revoked and not allowed are answers: the next source is not asked", async () => {
  const { first, second, chain } = world();
  for (const code of ["key_not_found", "key_revoked", "edge_not_allowed"] as const) {
    first.answer = new KeySourceError(code, "no");
    await expect(chain.lease(REQUEST, NEVER)).rejects.toMatchObject({ code });
  }
  expect(second.calls).toBe(0);
});

test("when all are unavailable the error names each with its reason, and the shortest time to wait", async () => {
  const { first, second, chain } = world();
  first.answer = new KeySourceError("unavailable", "busy", { retryAfterMs: 9_000 });
  second.answer = new KeySourceError("unavailable", "sealed", { retryAfterMs: 2_000 });
  const error = (await chain.lease(REQUEST, NEVER).catch((caught: unknown) => caught)) as KeySourceError;
  expect(error).toMatchObject({ code: "unavailable", retryAfterMs: 2_000 });
  expect(error.message).toContain("first: busy; second: sealed");
});

test("a source that hangs is left for the next one in time, and its late grant is wiped", async () => {
  const { clock, first, chain } = world();
  first.answer = "hang";
  const lease = chain.lease(REQUEST, NEVER);
  await clock.advance(100);
  expect((await lease).source).toBe("second");
  const late = first.answerLate();
  await settle();
  expect(late.versions[0]!.key.every((byte) => byte === 0)).toBe(true);
});

test("a source that keeps failing is left out, tried by one call, and taken back when it answers", async () => {
  const { clock, first, chain, circuits } = world();
  first.answer = away;
  for (let call = 0; call < 5; call++) await chain.lease(REQUEST, NEVER);
  expect(first.calls).toBe(2);
  expect(chain.status()[0]).toMatchObject({ circuit: "open", unavailable: 2, skipped: 3 });
  expect(chain.health()).toMatchObject({ ok: true, detail: expect.stringContaining("first is away") });

  first.answer = "hang";
  await clock.advance(1_000);
  const trial = chain.lease(REQUEST, NEVER);
  expect((await chain.lease(REQUEST, NEVER)).source).toBe("second");
  expect(first.calls).toBe(3);
  await clock.advance(100);
  expect((await trial).source).toBe("second");

  first.answer = "grant";
  await clock.advance(1_000);
  expect((await chain.lease(REQUEST, NEVER)).source).toBe("second");
  await clock.advance(1_000);
  expect((await chain.lease(REQUEST, NEVER)).source).toBe("first");
  expect(circuits).toEqual(["first open", "first half_open", "first open", "first half_open", "first closed"]);
  expect(chain.health()).toEqual({ ok: true });
});

test("a caller that gives up ends the call, asks no further source, and does not count against the source", async () => {
  const { clock, first, second, chain } = world();
  first.answer = "hang";
  const abort = new AbortController();
  const lease = chain.lease(REQUEST, abort.signal);
  abort.abort();
  await expect(lease).rejects.toMatchObject({ code: "unavailable" });
  expect(second.calls).toBe(0);
  expect(chain.status()[0]!.unavailable).toBe(0);
  expect(clock.pending).toBe(0);
});

test("closing closes every source, even when one fails to", async () => {
  const { first, second, chain } = world();
  first.close = async () => {
    throw new Error("stuck");
  };
  await expect(chain.close()).rejects.toThrow("stuck");
  expect(second.closed).toBe(1);
});
