import { beforeAll, describe, expect, test } from "bun:test";
import { CompactSign, exportJWK, generateKeyPair, type JSONWebKeySet } from "jose";
import { DroppedEvent } from "../../../src/edge/revocation/dropped-event.ts";
import { createEventVerifier, type EventVerifier } from "../../../src/edge/revocation/event-verifier.ts";
import type { RevocationEvent } from "../../../src/edge/revocation/revocation-transport.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { answer, createWorld, heartbeat, LOG, revoke, V3 } from "./world.ts";

interface SigningKey {
  readonly kid: string;
  readonly privateKey: Awaited<ReturnType<typeof generateKeyPair>>["privateKey"];
  readonly jwk: JSONWebKeySet["keys"][number];
}

async function makeKey(kid: string): Promise<SigningKey> {
  const { publicKey, privateKey } = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
  return { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: "EdDSA", use: "sig" } };
}

function sign(event: unknown, key: SigningKey, header: Record<string, unknown> = {}): Promise<string> {
  return new CompactSign(new TextEncoder().encode(JSON.stringify(event)))
    .setProtectedHeader({ alg: "EdDSA", kid: key.kid, typ: "crypto-edge-event", ...header })
    .sign(key.privateKey);
}

let first: SigningKey;
let second: SigningKey;

beforeAll(async () => {
  first = await makeKey("first");
  second = await makeKey("second");
});

/** A verifier whose Core serves `keys`, and counts how often it was asked. */
function createCore(...keys: SigningKey[]) {
  const clock = new VirtualClock();
  const core = { keys, asked: 0, down: false };
  const verifier = createEventVerifier({
    clock,
    fetchKeys: async () => {
      core.asked++;
      if (core.down) throw new Error("connection refused");
      return { keys: core.keys.map(({ jwk }) => jwk) };
    },
  });
  return { clock, core, verifier };
}

async function reasonOf(verifier: EventVerifier, jws: string): Promise<string> {
  try {
    await verifier.verify(jws);
    return "believed";
  } catch (error) {
    if (error instanceof DroppedEvent) return error.code;
    throw error;
  }
}

describe("a signed event", () => {
  test("that comes by two transports is verified once; one that was dropped is judged anew", async () => {
    const { clock, core, verifier } = createCore(first);
    const jws = await sign({ ...revoke(1, V3), at: new Date(clock.wallMs()).toISOString() }, first);
    const [one, two] = await Promise.all([verifier.verify(jws), verifier.verify(jws)]);
    expect(two).toBe(one);
    expect(await verifier.verify(jws)).toBe(one);
    const unknown = await sign({ ...revoke(2, V3), at: new Date(clock.wallMs()).toISOString() }, second);
    expect(await reasonOf(verifier, unknown)).toBe("no_key");
    core.keys.push(second);
    await clock.advance(60_000);
    expect(await reasonOf(verifier, unknown)).toBe("believed");
    // What was verified ages like everything else.
    await clock.advance(7 * 86_400_000);
    expect(await reasonOf(verifier, jws)).toBe("too_old");
  });

  test("is remembered among the last 64 that were verified, and no longer", async () => {
    const { clock, verifier } = createCore(first);
    const at = new Date(clock.wallMs()).toISOString();
    const events = await Promise.all(
      Array.from({ length: 65 }, (_, index) => sign({ ...revoke(index + 1, V3), at }, first)),
    );
    const one = await verifier.verify(events[0]!);
    for (const jws of events.slice(1, 64)) await verifier.verify(jws);
    expect(await verifier.verify(events[0]!)).toBe(one);
    const second = await verifier.verify(events[1]!);
    await verifier.verify(events[64]!);
    const again = await verifier.verify(events[0]!);
    expect(again).toEqual(one);
    expect(again).not.toBe(one);
    // It took the place of the oldest of the others.
    expect(await verifier.verify(events[1]!)).not.toBe(second);
  });

  test("of another type is none, though the Core's key signed it", async () => {
    const { verifier } = createCore(first);
    for (const typ of ["JWT", undefined]) {
      expect(await reasonOf(verifier, await sign(revoke(1, V3), first, { typ }))).toBe("malformed");
    }
  });

  test("of a time that has not come is dropped, but for what clocks differ by", async () => {
    const { clock, verifier } = createCore(first);
    const at = (aheadMs: number): string => new Date(clock.wallMs() + aheadMs).toISOString();
    expect(await reasonOf(verifier, await sign({ ...revoke(1, V3), at: at(300_000) }, first))).toBe("believed");
    const future = await sign({ ...revoke(2, V3), at: at(300_001) }, first);
    expect(await reasonOf(verifier, future)).toBe("from_future");
    await clock.advance(1);
    expect(await reasonOf(verifier, future)).toBe("believed");
  });

  test("of the Core is believed, with one fetch of its keys for all", async () => {
    const { core, verifier } = createCore(first);
    const event = revoke(1, V3);
    const jws = await sign(event, first);
    expect(await Promise.all([verifier.verify(jws), verifier.verify(jws)])).toEqual([event, event]);
    expect(core.asked).toBe(1);
  });

  test("is dropped when a byte of it was changed, or its number was", async () => {
    const { verifier } = createCore(first);
    const [header, , signature] = (await sign(revoke(1, V3), first)).split(".");
    const other = Buffer.from(JSON.stringify(revoke(2, V3))).toString("base64url");
    expect(await reasonOf(verifier, `${header}.${other}.${signature}`)).toBe("bad_signature");
  });

  test("is dropped when another key made it under the Core's key id", async () => {
    const { verifier } = createCore(first);
    expect(await reasonOf(verifier, await sign(revoke(1, V3), { ...second, kid: "first" }))).toBe("bad_signature");
  });

  test("is dropped when it is no JWS, asks for no signature or another kind, or is longer than any event", async () => {
    const { core, verifier } = createCore(first);
    const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const typ = "crypto-edge-event";
    const malformed = [
      "",
      "a.b.c",
      "....",
      `${part({ alg: "none", typ })}.${part(revoke(1, V3))}.`,
      `${part({ alg: "HS256", kid: "first", typ })}.${part(revoke(1, V3))}.AAAA`,
      `${part({ alg: "EdDSA", typ })}.${part(revoke(1, V3))}.AAAA`,
      `${part({ alg: "EdDSA", kid: 1, typ })}.${part(revoke(1, V3))}.AAAA`,
      "x".repeat(20_000),
    ];
    for (const text of malformed) expect(await reasonOf(verifier, text)).toBe("malformed");
    expect(core.asked).toBe(0);
  });

  test("is dropped when what was signed is no event of this protocol", async () => {
    const { verifier } = createCore(first);
    const base = revoke(1, V3);
    const wrong: unknown[] = [
      null,
      [],
      { ...base, type: "explode" },
      { ...base, seq: 0 },
      { ...base, seq: 1.5 },
      { ...base, seq: 2 ** 60 },
      { ...base, seq: "1" },
      { ...base, log: "a:b" },
      { ...base, log: "" },
      { ...base, at: "yesterday" },
      { ...base, tenant: "../x" },
      { ...base, service: undefined },
      { ...base, version: 0 },
      { ...base, state: "fine" },
      { ...heartbeat(1), seq: -1 },
    ];
    for (const event of wrong) expect(await reasonOf(verifier, await sign(event, first))).toBe("malformed");
    expect(await reasonOf(verifier, await sign({ ...base, unknown: 1 }, first))).toBe("believed");
  });

  test("is read up to 16,384 characters, and no further", async () => {
    const { verifier } = createCore(first);
    const found: string[] = [];
    for (let pad = 0; pad < 4; pad++) {
      for (let more = 11_900; more < 12_000; more++) {
        const header = { pad: "x".repeat(pad) };
        const jws = await sign({ ...revoke(1, V3), more: "x".repeat(more) }, first, header);
        if (jws.length === 16_384 || jws.length === 16_385)
          found.push(`${jws.length} ${await reasonOf(verifier, jws)}`);
      }
    }
    expect([...new Set(found)].sort()).toEqual(["16384 believed", "16385 malformed"]);
  });

  test("is dropped when it is not UTF-8, though the Core's key signed it", async () => {
    const { verifier } = createCore(first);
    const [before, after] = JSON.stringify({ ...revoke(1, V3), reason: "|" }).split("|");
    const bytes = Buffer.concat([Buffer.from(before!), Buffer.from([0xff]), Buffer.from(after!)]);
    const jws = await new CompactSign(bytes)
      .setProtectedHeader({ alg: "EdDSA", kid: first.kid, typ: "crypto-edge-event" })
      .sign(first.privateKey);
    expect(await reasonOf(verifier, jws)).toBe("malformed");
  });

  test("is dropped when it was made longer ago than any lease lives", async () => {
    const { clock, verifier } = createCore(first);
    const jws = await sign(revoke(1, V3), first);
    clock.jumpWall(3_600_000);
    expect(await reasonOf(verifier, jws)).toBe("believed");
    clock.jumpWall(1);
    expect(await reasonOf(verifier, jws)).toBe("too_old");
  });
});

describe("the Core's keys", () => {
  test("are fetched anew at a key id not seen before, so that a rollover needs no restart", async () => {
    const { clock, core, verifier } = createCore(first);
    expect(await reasonOf(verifier, await sign(revoke(1, V3), first))).toBe("believed");
    await clock.advance(5_000);
    core.keys = [second, first];
    expect(await reasonOf(verifier, await sign(revoke(2, V3), second))).toBe("believed");
    expect(await reasonOf(verifier, await sign(revoke(3, V3), first))).toBe("believed");
    expect(core.asked).toBe(2);
  });

  test("are not asked for again and again by forged key ids", async () => {
    const { clock, core, verifier } = createCore(first);
    for (let index = 0; index < 1_000; index++) {
      expect(await reasonOf(verifier, await sign(revoke(1, V3), { ...second, kid: `forged-${index}` }))).toBe("no_key");
      if (index % 100 === 99) await clock.advance(1_000);
    }
    expect(core.asked).toBeLessThanOrEqual(3);
  });

  test("that the Core has withdrawn are trusted no more within minutes", async () => {
    const { clock, core, verifier } = createCore(first);
    expect(await reasonOf(verifier, await sign(revoke(1, V3), first))).toBe("believed");
    core.keys = [second];
    await clock.advance(300_000);
    expect(await reasonOf(verifier, await sign(revoke(2, V3), first))).toBe("no_key");
  });

  test("go on for a while when the Core is away, but not for ever", async () => {
    const { clock, core, verifier } = createCore(first);
    const fresh = async () => {
      const at = new Date(clock.wallMs()).toISOString();
      return reasonOf(verifier, await sign({ ...heartbeat(1), at }, first));
    };
    expect(await fresh()).toBe("believed");
    core.down = true;
    await clock.advance(600_000);
    expect(await fresh()).toBe("believed");
    await clock.advance(3_000_000);
    expect(await fresh()).toBe("no_key");
  });

  test("that can't be had hold up one event, and none after it: what is signed with a known key is believed at once", async () => {
    const clock = new VirtualClock();
    let asked = 0;
    const verifier = createEventVerifier({
      clock,
      fetchKeys: async () => (asked++ === 0 ? { keys: [first.jwk] } : await new Promise<never>(() => {})),
    });
    const fresh = async (key = first) => {
      const at = new Date(clock.wallMs()).toISOString();
      return reasonOf(verifier, await sign({ ...revoke(1, V3), at }, key));
    };
    expect(await fresh()).toBe("believed");
    await clock.advance(300_000);
    const waiting = reasonOf(verifier, await sign(revoke(2, V3), first));
    await clock.advance(5_000);
    expect(await waiting).toBe("believed");
    // Time stands still: nothing here waits.
    for (let index = 0; index < 20; index++) expect(await fresh()).toBe("believed");
    expect(await fresh(second)).toBe("no_key");
    expect(asked).toBe(2);
    await clock.advance(5_000);
    expect(await fresh()).toBe("believed");
    expect(asked).toBe(3);
  });

  test("that never come don't hold up the caller for ever", async () => {
    const clock = new VirtualClock();
    const verifier = createEventVerifier({ clock, fetchKeys: () => new Promise(() => {}) });
    const reason = reasonOf(verifier, await sign(revoke(1, V3), first));
    await clock.advance(5_000);
    expect(await reason).toBe("no_key");
  });
});

describe("the guard, with events by a third party", () => {
  async function createSignedWorld(core = [first]) {
    const keys = async () => ({ keys: core.map(({ jwk }) => jwk) });
    const clock = new VirtualClock();
    const verifier = createEventVerifier({ clock, fetchKeys: keys });
    const world = createWorld({ verifier });
    const sink = world.guard.sink("broker");
    const send = async (event: RevocationEvent, key = first) => sink.deliverSigned(await sign(event, key));
    const drops = () => world.guard.status().transports[0]!.drops;
    return { ...world, sink, send, drops };
  }

  test("applies a revocation, and has wiped when the promise resolves", async () => {
    const { guard, control, send } = await createSignedWorld();
    await send(revoke(1, V3));
    expect(guard.isBlocked("t", "s", 3)).toBe(true);
    expect(control.calls).toEqual(["revoke t/s/3"]);
  });

  test("applies nothing that is verified only after it was closed, and says that it waits", async () => {
    const { guard, control, applied, sink } = await createSignedWorld();
    const verifying = sink.confirmSigned(await sign(revoke(1, V3), first));
    guard.close();
    expect(await verifying).toEqual({ state: "waiting" });
    expect(applied).toEqual([]);
    expect(control.calls).toEqual([]);
  });

  test("takes nothing that was repeated for life, and nothing of another log", async () => {
    const { guard, clock, send, sink, drops, control, core } = await createSignedWorld();
    core.events = [revoke(1, V3)];
    guard.start();
    await send(revoke(1, V3));
    await clock.advance(20_000);
    await send(revoke(1, V3));
    await send(heartbeat(1));
    expect(guard.status().silentMs).toBe(20_000);
    await send({ ...revoke(9, { tenant: "u" }), log: "another" });
    await clock.advance(100);
    expect(drops()).toEqual({ other_log: 1 });
    expect(guard.isBlocked("u", "s")).toBe(false);
    expect(control.count("dropAll")).toBe(0);
    // The Core was asked whether its log has changed; once, however many such events come.
    expect(core.asked).toEqual([`${LOG}:1`]);
    for (let index = 0; index < 20; index++) await send({ ...heartbeat(9), log: "another" });
    await clock.advance(100);
    expect(core.asked).toHaveLength(1);
    expect(sink.resumeAfter()).toBe(`${LOG}:1`);
  });

  test("learns of the Core's new log by such an event, from the Core itself", async () => {
    const { guard, clock, send, core, control } = await createSignedWorld();
    await send(revoke(7, V3));
    core.log = "log-b";
    core.events = [];
    await send({ ...heartbeat(0), log: "log-b" });
    await clock.advance(100);
    expect(guard.status()).toMatchObject({ log: "log-b", seq: 0 });
    expect(control.count("dropAll")).toBe(1);
  });

  test("learns from two heartbeats in a row that the Core's log has gone back, from the Core itself", async () => {
    const { guard, clock, send, core, control } = await createSignedWorld();
    core.events = [revoke(1, V3), revoke(2, V3), revoke(3, V3)];
    for (const event of core.events) await send(event);
    core.events = core.events.slice(0, 1);
    await send(heartbeat(1));
    await send(heartbeat(3));
    await send(heartbeat(1));
    await clock.advance(100);
    expect(core.asked).toEqual([]);
    await send(heartbeat(1));
    await clock.advance(100);
    expect(core.asked).toEqual([`${LOG}:3`]);
    expect(guard.status()).toMatchObject({ log: LOG, seq: 1 });
    expect(control.count("dropAll")).toBe(1);
    await send(revoke(2, { tenant: "u" }));
    expect(guard.isBlocked("u", "s")).toBe(true);
  });

  test("does not begin with an old event, which may be of a log long gone", async () => {
    const { guard, clock, send, drops } = await createSignedWorld();
    clock.jumpWall(60_000);
    await send(revoke(7, V3));
    expect(drops()).toEqual({ no_place: 1 });
    expect(guard.status().log).toBeUndefined();
    expect(guard.admits(answer(1))).toBe(true);
  });

  test("is not reset by a third party", async () => {
    const { send, drops, control } = await createSignedWorld();
    await send(revoke(1, V3));
    await send({ type: "reset", log: LOG, seq: 9, at: heartbeat(1).at, reason: "forged" });
    expect(drops()).toEqual({ not_an_event: 1 });
    expect(control.count("dropAll")).toBe(0);
  });

  test("verifies no copies of what was applied, but for one in ten seconds, so that a forger of them shows", async () => {
    const { guard, clock, core, sink, send, drops, lines } = await createSignedWorld();
    core.events = [revoke(1, V3), revoke(2, { tenant: "u" })];
    const direct = guard.sink("core");
    for (const event of core.events) direct.deliver(event);
    const duplicates = () => guard.status().transports[0]!.duplicates;
    // The first is verified and true, the others are not looked at: these four are forged.
    await send(revoke(1, V3));
    for (const seq of [1, 2, 1, 2]) await send(revoke(seq, { tenant: "v" }), second);
    expect({ duplicates: duplicates(), drops: drops() }).toEqual({ duplicates: 5, drops: {} });
    await clock.advance(10_000);
    for (const seq of [1, 2, 1, 2]) await send(revoke(seq, { tenant: "v" }), second);
    expect({ duplicates: duplicates(), drops: drops() }).toEqual({ duplicates: 8, drops: { no_key: 1 } });
    expect(lines.filter((line) => line.includes("dropped"))).toHaveLength(1);
    // What has not been applied is verified each time, whatever place it claims in whatever log.
    for (const seq of [3, 4]) await send(revoke(seq, { tenant: "v" }), second);
    await send({ ...revoke(1, { tenant: "v" }), log: "another" }, second);
    await sink.deliverSigned("a.bnVsbA.b");
    expect(drops()).toEqual({ no_key: 4, malformed: 1 });
    expect(guard.isBlocked("v", "s")).toBe(false);
    expect(guard.status().seq).toBe(2);
  });

  test("verifies a bounded number at once, and counts what it turns away", async () => {
    const clock = new VirtualClock();
    const verifying: (() => void)[] = [];
    const verifier = { verify: () => new Promise<RevocationEvent>((done) => verifying.push(() => done(heartbeat(1)))) };
    const { guard } = createWorld({ clock, verifier });
    const sink = guard.sink("broker");
    for (let index = 0; index < 1_000; index++) void sink.deliverSigned(`forged.${index}`);
    expect(verifying).toHaveLength(64);
    expect(guard.status().transports[0]!.drops).toEqual({ too_many: 936 });
    for (const done of verifying.splice(0)) done();
    await clock.advance(1);
    void sink.deliverSigned("the next");
    expect(verifying).toHaveLength(1);
  });

  test("tells of a burst of drops once", async () => {
    const { sink, lines, drops, clock } = await createSignedWorld();
    for (let index = 0; index < 500; index++) await sink.deliverSigned("nonsense");
    expect(drops()).toEqual({ malformed: 500 });
    expect(lines.filter((line) => line.includes("dropped"))).toHaveLength(1);
    await clock.advance(10_000);
    await sink.deliverSigned("nonsense");
    expect(lines.filter((line) => line.includes("dropped"))).toHaveLength(2);
    expect(lines.at(-1)).toContain('"suppressed":499');
  });

  test("without a key set drops every signed event", async () => {
    const { guard } = createWorld();
    await guard.sink("broker").deliverSigned(await sign(revoke(1, V3), first));
    expect(guard.isBlocked("t", "s", 3)).toBe(false);
    expect(guard.status().transports[0]?.drops).toEqual({ no_key: 1 });
  });
});
