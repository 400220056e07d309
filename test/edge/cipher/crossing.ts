/**
 * Random operations on every adapter and on an independent implementation, each opening what the others made: with contexts,
 * evictions, new salts, wiped sessions, renewals and altered blobs. `npm run test:cipher` does a million of them;
 * `crossing.ts OPERATIONS SEED` repeats a run.
 */
import { createHash } from "node:crypto";
import { OperationError } from "../../../src/base/errors.ts";
import { parseBlob } from "../../../src/edge/cipher/blob.ts";
import type { Cipher, WrappingSession } from "../../../src/edge/cipher/cipher.ts";
import { encodeContext } from "../../../src/edge/cipher/context.ts";
import { createCipher } from "../../../src/edge/cipher/sessions.ts";
import { ADAPTERS } from "../../support/ciphers.ts";
import { type ReferenceBlob, referenceOpen, referenceSeal } from "../../support/reference-cipher.ts";

const BLOBS_KEPT = 400;
const SESSIONS = 60;
const LENGTHS = [16, 32, 64] as const;

interface Made {
  readonly of: ReferenceBlob;
  readonly bytes: Buffer;
  readonly plaintext: Buffer;
}

export interface Crossings {
  readonly operations: number;
  readonly opened: number;
  readonly refused: number;
}

/** @throws at the first result that is not right */
export function cross(operations: number, seed: number): Crossings {
  const random = randomOf(seed);
  const pick = <T>(from: readonly T[]): T => from[random(from.length)]!;
  const someBytes = (length: number): Buffer => Buffer.from(Array.from({ length }, () => random(256)));
  const keys = new Map<string, Buffer>();
  const keyOf = ({ tenant, service, version }: ReferenceBlob): Buffer => {
    const name = `${tenant}/${service}/${version}`;
    const known = keys.get(name) ?? createHash("sha256").update(`${seed} ${name}`).digest();
    keys.set(name, known);
    return known;
  };
  // Few ready keys and short-lived salts: both give way all the time.
  const ciphers: Cipher[] = Object.values(ADAPTERS).map((adapter) =>
    createCipher({ adapter: adapter(), readyKeysMax: 20, blobsPerSalt: 9 }),
  );
  const sessions = ciphers.map(() => new Map<string, WrappingSession>());
  const sessionOf = (adapter: number, of: ReferenceBlob): WrappingSession => {
    const open = sessions[adapter]!;
    const name = `${of.tenant}/${of.service}/${of.version}`;
    let session = open.get(name);
    if (session === undefined) {
      const key = keyOf(of);
      session = ciphers[adapter]!.begin(of, { use: (reader) => reader(key) });
      open.set(name, session);
      if (open.size > SESSIONS) {
        const [oldest, ended] = open.entries().next().value!;
        open.delete(oldest);
        ended.wipe();
      }
    }
    return session;
  };
  const made: Made[] = [];
  const seen = new Set<string>();
  let opened = 0;
  let refused = 0;

  const make = (): void => {
    const suite = pick([1, 2] as const);
    const context = Object.fromEntries(
      Array.from({ length: random(4) === 0 ? random(12) : 0 }, () => [pick(CONTEXT_KEYS), pick(CONTEXT_VALUES)]),
    );
    const of: ReferenceBlob = {
      suite,
      tenant: pick(TENANTS),
      service: pick(SERVICES),
      version: 1 + random(3),
      context,
    };
    const adapter = random(ciphers.length + 1);
    let plaintext: Buffer = someBytes(suite === 1 ? pick(LENGTHS) : 1 + random(random(50) === 0 ? 4000 : 80));
    let bytes: Buffer;
    if (adapter === ciphers.length) bytes = referenceSeal(keyOf(of), of, someBytes(16), someBytes(12), plaintext);
    else {
      const session = sessionOf(adapter, of);
      const encoded = encodeContext(context);
      if (suite === 1 && random(2) === 0) {
        const drawn = new Uint8Array(pick(LENGTHS));
        bytes = Buffer.from(session.createKey(drawn.length as 32, encoded, drawn));
        plaintext = Buffer.from(drawn);
      } else bytes = Buffer.from(session.wrap(plaintext, encoded, suite));
    }
    const at = 10 + of.tenant.length + of.service.length;
    const nonce = bytes.toString("latin1", at, at + 28);
    if (seen.has(nonce)) throw new Error(`a salt and nonce came twice: ${JSON.stringify(of)}`);
    seen.add(nonce);
    if (seen.size > 100_000) seen.clear();
    made[made.length < BLOBS_KEPT ? made.length : random(BLOBS_KEPT)] = { of, bytes, plaintext };
  };

  const open = ({ of, bytes }: Pick<Made, "of" | "bytes">, adapter: number): Buffer | undefined => {
    if (adapter === ciphers.length) return referenceOpen(keyOf(of), of, bytes);
    try {
      const parsed = parseBlob(bytes, of.suite);
      return Buffer.from(sessionOf(adapter, of).unwrap(parsed, encodeContext(of.context)));
    } catch (error) {
      if (error instanceof OperationError) return undefined;
      throw error;
    }
  };

  for (let operation = 0; operation < operations; operation++) {
    const kind = random(100);
    if (made.length === 0 || kind < 40) make();
    else if (kind < 85) {
      const blob = pick(made);
      const adapter = random(ciphers.length + 1);
      const found = open(blob, adapter);
      if (found === undefined || !found.equals(blob.plaintext)) {
        throw new Error(`operation ${operation} of seed ${seed}: adapter ${adapter} does not open a good blob`);
      }
      opened++;
    } else if (kind < 97) {
      const { of, bytes } = pick(made);
      const altered = Buffer.from(bytes);
      const other = { ...of, context: { ...of.context, added: "x" } };
      const changeContext = random(4) === 0;
      if (!changeContext) altered[random(altered.length)]! ^= 1 << random(8);
      const adapter = random(ciphers.length + 1);
      if (open({ of: changeContext ? other : of, bytes: altered }, adapter) !== undefined) {
        throw new Error(`operation ${operation} of seed ${seed}: adapter ${adapter} opens an altered blob`);
      }
      refused++;
    } else if (kind < 99) {
      const adapter = random(ciphers.length);
      const names = [...sessions[adapter]!.keys()];
      const name = names.length === 0 ? undefined : pick(names);
      if (name !== undefined) {
        sessions[adapter]!.get(name)!.wipe();
        sessions[adapter]!.delete(name);
      }
    } else if (random(20) === 0) pick(ciphers).renew();
  }
  for (const open of sessions) for (const session of open.values()) session.wipe();
  return { operations, opened, refused };
}

const TENANTS = ["tenant-a", "t", "b".repeat(128), ...Array.from({ length: 12 }, (_, index) => `tenant-${index}`)];
const SERVICES = ["billing", "s", "default"];
const CONTEXT_KEYS = ["purpose", "invoice", "a", "ab", "é", "🔑", "__proto__x", "constructor", "Z"];
const CONTEXT_VALUES = ["", "1", "4711", "ü", "🗝️", "a longer value with spaces"];

/** mulberry32: the same numbers for the same seed. */
function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

if (import.meta.main) {
  const [operations = "1000000", seed = String(Date.now() % 2 ** 31)] = process.argv.slice(2);
  console.log(`seed ${seed}`);
  const { opened, refused } = cross(Number(operations), Number(seed));
  console.log(`${operations} operations: ${opened} opened, ${refused} altered ones refused, none wrong`);
}
