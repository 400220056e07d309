/** The keys of a Core's answer are opened in turns with everyone's requests. */
import { expect, test } from "bun:test";
import { createSealer } from "../../../src/core/hpke.ts";
import { createLeaseRecipient, leaseAad } from "../../../src/edge/key-source/core/hpke-open.ts";
import { openLeaseAnswer } from "../../../src/edge/key-source/core/lease-answer.ts";

const request = { tenant: "tenant-a", service: "billing" };
const sealer = createSealer("crypto-edge lease v1");
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url");

function sealedLease(versions: number) {
  const recipient = createLeaseRecipient();
  const keys = Array.from({ length: versions }, (_, index) => new Uint8Array(32).fill(index + 1));
  const body = {
    ...request,
    ttl_seconds: 300,
    refresh_after_seconds: 240,
    log: "log-a",
    revocation_seq: 7,
    versions: keys.map((key, index) => {
      const { enc, sealed } = sealer.seal(
        Buffer.from(recipient.publicKey, "base64url"),
        key,
        leaseAad("tenant-a", "billing", index + 1),
      );
      const state = index === 0 ? "active" : "deprecated";
      return { version: index + 1, state, enc: text(enc), sealed: text(sealed) };
    }),
  };
  return { recipient, keys, body };
}

/** What it resolves with, and how many turns of the event loop it took. */
async function turnsOf<Result>(run: () => Promise<Result>): Promise<{ result: Result; turns: number }> {
  let turns = 0;
  let isOver = false;
  const count = (): void => {
    if (isOver) return;
    turns++;
    setImmediate(count);
  };
  setImmediate(count);
  const result = await run();
  isOver = true;
  return { result, turns };
}

test("no turn opens more than two keys of a lease of many versions", async () => {
  const { recipient, keys, body } = sealedLease(40);
  const { result, turns } = await turnsOf(() => openLeaseAnswer(body, request, recipient, "the Core"));
  expect(result.versions.map(({ key }) => [...key])).toEqual(keys.map((key) => [...key]));
  expect(turns).toBeGreaterThanOrEqual(40 / 2 - 1);
});

test("no turn opens more than two keys of leases that are answered together", async () => {
  const leases = Array.from({ length: 40 }, () => sealedLease(1));
  const { result, turns } = await turnsOf(() =>
    Promise.all(leases.map(({ recipient, body }) => openLeaseAnswer(body, request, recipient, "the Core"))),
  );
  expect(result).toHaveLength(40);
  expect(turns).toBeGreaterThanOrEqual(40 / 2 - 1);
});

test("one key alone is opened at once, in the turn of its answer", async () => {
  const { recipient, body } = sealedLease(1);
  const { turns } = await turnsOf(() => openLeaseAnswer(body, request, recipient, "the Core"));
  expect(turns).toBe(0);
});
