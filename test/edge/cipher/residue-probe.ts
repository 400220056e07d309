/**
 * A process whose memory the test searches: `residue-probe.ts ADAPTER KIND STAGE LOAD`. It runs wrapping sessions over service
 * keys made by `testKey`, prints one line of JSON with the salt of each session and the blobs of the keys it made last, and
 * stays. At a byte on its input it makes more keys, and prints their blobs.
 */

import { randomFillSync } from "node:crypto";
import { loadSystemCalls } from "../../../src/base/system/system-calls.ts";
import { allocateSecret, wipe } from "../../../src/base/wipe.ts";
import { parseBlob } from "../../../src/edge/cipher/blob.ts";
import { overwriteFreedKeys } from "../../../src/edge/cipher/freed-keys.ts";
import { CIPHERS, openCipher } from "../../../src/edge/cipher/open-cipher.ts";
import { createCipher } from "../../../src/edge/cipher/sessions.ts";
import type { KeyMemoryChoice } from "../../../src/edge/key-memory/key-memory.ts";
import { openKeyMemory } from "../../../src/edge/key-memory/open-key-memory.ts";
import { regionTaker } from "../../../src/edge/key-memory/region.ts";

export const SESSIONS = 40;
export const FREED_KEY = 1000;
const WRAPS = 300;
const KEYS_MADE = 60;
const NO_CONTEXT = new Uint8Array(0);

/**
 * Busy: with what a server's requests leave beside the keys, some of it for good: text, buffers, objects. Quiet: without,
 * and at the end many blocks with `FREED_KEY` are freed unwiped, as the crypto library does.
 */
export type Load = "busy" | "quiet";
export type Stage = "held" | "ended" | "ended, not overwritten";

/** The service key of a session: no pattern that other memory may have, and nothing that a program would hold. */
export function fillTestKey(key: Uint8Array, session: number): Uint8Array {
  let state = 0x9e3779b9 ^ (session * 0x85ebca6b);
  for (let index = 0; index < key.length; index++) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x6d2b79f5;
    key[index] = state >>> 24;
  }
  return key;
}

export function identityOf(session: number) {
  return { tenant: `tenant-${session}`, service: "billing", version: 1 };
}

/**
 * Frees at once, as the crypto library does: a collector might only do so after what is freed has been overwritten. Answers
 * the blocks between, which keep the memory of the freed ones from being given back to the system.
 */
function freeUnwiped(): ArrayBuffer[] {
  const blocks = Array.from({ length: 2000 }, () => new ArrayBuffer(32));
  return blocks.filter((block, index) => {
    if (index % 2 === 1) return true;
    fillTestKey(new Uint8Array(block), FREED_KEY);
    block.transfer(0);
    return false;
  });
}

if (import.meta.main) {
  const [use, kind, stage, load] = process.argv.slice(2) as [string, KeyMemoryChoice, Stage, Load];
  const memory = await openKeyMemory({ choice: kind, expectedKeys: SESSIONS, warn: () => {} });
  const takeMemory = regionTaker(memory.kind, (await loadSystemCalls()).calls);
  const adapter = await openCipher({ use, requireFips: false, takeMemory, ciphers: CIPHERS, warn: () => {} });
  const cipher = createCipher({ adapter });
  const others: unknown[] = [];
  const salts: string[] = [];
  const running = Array.from({ length: SESSIONS }, (_, number) => {
    const key = fillTestKey(allocateSecret(32), number);
    const slot = memory.store(key);
    wipe(key);
    const session = cipher.begin(identityOf(number), slot);
    for (let wrap = 0; wrap < WRAPS; wrap++) {
      const dataKey = randomFillSync(new Uint8Array(32));
      const wrapped = parseBlob(session.wrap(dataKey, NO_CONTEXT));
      if (!Buffer.from(session.unwrap(wrapped, NO_CONTEXT)).equals(dataKey)) throw new Error("it does not open");
      if (wrap === 0) {
        salts.push(Buffer.from(wrapped.bytes.subarray(wrapped.saltOffset, wrapped.nonceOffset)).toString("hex"));
      }
      if (load === "quiet") continue;
      const other = JSON.stringify({ wrap, blob: Buffer.from(wrapped.bytes).toString("base64url") });
      others[(number * WRAPS + wrap) % 1000] = wrap % 3 === 0 ? JSON.parse(other) : Buffer.from(other);
    }
    return { session, slot };
  });
  // Nobody is told these keys: their blobs alone come out.
  const makeKeys = (): string[] =>
    Array.from({ length: KEYS_MADE }, () => Buffer.from(running[0]!.session.createKey(32, NO_CONTEXT)).toString("hex"));
  const blobs = makeKeys();
  process.stdin.once("data", () => process.stdout.write(`${JSON.stringify({ blobs: makeKeys() })}\n`));
  if (stage !== "held") {
    for (const { session, slot } of running.splice(0)) {
      session.wipe();
      slot.release();
    }
  }
  if (load === "quiet") {
    others.push(freeUnwiped());
    Bun.gc(true);
    await new Promise((resolve) => setTimeout(resolve, 10));
    Bun.gc(true);
  }
  if (stage === "ended") overwriteFreedKeys();
  process.stdout.write(`${JSON.stringify({ salts, blobs })}\n`);
  setTimeout(() => console.error(others.length, running.length), 60_000);
}
