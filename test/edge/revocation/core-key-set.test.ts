import { expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import type { JSONWebKeySet } from "jose";
import { CoreKeySet, type CoreKeySetOptions } from "../../../src/edge/revocation/core-key-set.ts";
import { settle, VirtualClock } from "../../support/virtual-clock.ts";

function jwk(kid: string) {
  return { ...generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" }), kid } as never;
}

function createWorld(more: Partial<CoreKeySetOptions> = {}) {
  const clock = new VirtualClock();
  const state = { set: { keys: [jwk("one")] } as JSONWebKeySet, away: false, hangs: false, fetches: 0 };
  const keys = new CoreKeySet({
    clock,
    async fetchKeys(signal) {
      state.fetches++;
      if (state.hangs) await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      if (state.away) throw new Error("the Core is away");
      return state.set;
    },
    ...more,
  });
  const find = async (kid: string): Promise<string> => {
    try {
      return (await keys.find(kid)).type;
    } catch (error) {
      return `${(error as { code: string }).code}: ${(error as Error).message}`;
    }
  };
  return { clock, state, find };
}

test("a set is fetched once, and serves without another question while it is fresh", async () => {
  const { clock, state, find } = createWorld();
  expect(await Promise.all([find("one"), find("one")])).toEqual(["public", "public"]);
  await clock.advance(149_999);
  expect(await find("one")).toBe("public");
  expect(state.fetches).toBe(1);
  await clock.advance(1);
  expect(await find("one")).toBe("public");
  expect(state.fetches).toBe(2);
});

test("while the Core hangs, no event waits whose key is known", async () => {
  const { clock, state, find } = createWorld();
  await find("one");
  state.hangs = true;
  for (let times = 0; times < 8; times++) {
    await clock.advance(150_000);
    // Time stands still: nothing that hangs ends.
    expect(await find("one")).toBe("public");
  }
  expect(state.fetches).toBeGreaterThan(8);
});

test("a key that the Core has withdrawn is trusted for five minutes at most, however seldom events come", async () => {
  const { clock, state, find } = createWorld();
  await find("one");
  state.set = { keys: [jwk("two")] };
  await clock.advance(300_000);
  expect(await find("one")).toStartWith("no_key");
});

test("a key that is not there is asked for, but no more often than every five seconds", async () => {
  const { clock, state, find } = createWorld();
  await find("one");
  expect(await find("two")).toStartWith("no_key");
  expect(state.fetches).toBe(1);
  await clock.advance(4_999);
  expect(await find("two")).toStartWith("no_key");
  expect(state.fetches).toBe(1);
  await clock.advance(1);
  state.set = { keys: [jwk("two")] };
  expect(await find("two")).toBe("public");
  expect(await find("one")).toStartWith("no_key");
  expect(state.fetches).toBe(2);
});

test("the last set goes on while the Core is away, but for no longer than a lease can live", async () => {
  const { clock, state, find } = createWorld();
  await find("one");
  state.away = true;
  await clock.advance(3_599_999);
  expect(await find("one")).toBe("public");
  await clock.advance(1);
  expect(await find("one")).toBe("no_key: no key set: the Core is away");
  state.away = false;
  await clock.advance(5_000);
  // The next is asked for beside the event that needs it.
  await find("one");
  await settle();
  expect(await find("one")).toBe("public");
});

test("an answer that does not come is given up after five seconds, and nobody waits for the next one", async () => {
  const { clock, state, find } = createWorld();
  state.hangs = true;
  const waiting = find("one");
  await clock.advance(4_999);
  expect(clock.pending).toBe(1);
  await clock.advance(1);
  expect(await waiting).toBe("no_key: no key set: no answer in 5000 ms");
  await clock.advance(5_000);
  expect(await find("one")).toStartWith("no_key");
  expect(state.fetches).toBe(2);
});

test("of a set only keys of the kind that the Core signs with count, and no more than 32", async () => {
  const { state, find } = createWorld();
  const other = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "jwk" });
  state.set = {
    keys: [{ ...other, kid: "ec" } as never, ...Array.from({ length: 40 }, (_, index) => jwk(`k${index}`))],
  };
  expect(await find("ec")).toStartWith("no_key");
  expect([await find("k30"), (await find("k31")).slice(0, 6)]).toEqual(["public", "no_key"]);
});

test("a key that is half of another kind, or has no id, does not spoil the set", async () => {
  const { state, find } = createWorld();
  const { kid: _, ...nameless } = jwk("none") as { kid: string };
  const x25519 = generateKeyPairSync("x25519").publicKey.export({ format: "jwk" });
  state.set = {
    keys: [{ kty: "EC", crv: "Ed25519", kid: "ec" }, { ...x25519, kid: "x" }, nameless, jwk("one")] as never,
  };
  expect(await find("one")).toBe("public");
  expect(await find("x")).toStartWith("no_key");
  expect(await find("ec")).toStartWith("no_key");
});

test("once the Core has answered again, an event waits for the next answer", async () => {
  const { clock, state, find } = createWorld();
  state.away = true;
  await find("one");
  state.away = false;
  await clock.advance(5_000);
  await find("one");
  await settle();
  expect(await find("one")).toBe("public");
  state.set = { keys: [jwk("two")] };
  await clock.advance(5_000);
  expect(await find("two")).toBe("public");
});
