/**
 * Mutants that no test kills, each with the reason why none has to: the change cannot be seen from outside. `npm run mutate` prints
 * the reason beside the survivor, and still counts it. test/scripts/mutations.test.ts finds the entries that the code has outgrown.
 */
import type { Mutation } from "./mutations.ts";

export interface AcceptedMutant {
  /** As the report prints them; without the number of the line, which moves. */
  readonly from: string;
  readonly to: string;
  readonly reason: string;
}

const SAME_MOMENT = "Which of two that are due at the same moment comes first does not matter.";
const SAME_TIMER = "It sets the timer anew for the very moment for which it is set.";
const ONE_EVENT = "One number of the log is one event, about one scope: two marks never have the same.";
const NO_BLOCK = "Looked at only where the mark blocks, and this one does not.";
const WRITTEN_FIRST = "It is written before it is read.";

const NO_NEIGHBOURS =
  "A key that left keeps no others in memory; what it says of them is written anew when it is entered.";
const NONE_READY = "Where no key is ready, nobody asks who holds most.";
const VIEWS = "Which views are kept is a matter of memory and time; every answer is the same.";
const HIGH_BITS = "Only the bits from 0x80 on are asked for.";
const NO_LAST_BYTES = "The last step of GCM writes no bytes.";
const MORE_ROOM = "More room than the list takes changes nothing.";
const NO_BYTES = "To authenticate no bytes changes nothing: the condition spares the call.";
const SHORT_CUT = "It gives the same answer without the work for it.";

/** By file. */
export const ACCEPTED_MUTANTS: Readonly<Record<string, readonly AcceptedMutant[]>> = {
  "src/edge/access/glob.ts": [
    {
      from: 'if (first === "" && last === "" && middle.length === 0) return () => true;',
      to: "(nothing)",
      reason: SHORT_CUT,
    },
    { from: "if (globs.length === 0) return (text) => literals.has(text);", to: "(nothing)", reason: SHORT_CUT },
  ],
  "src/edge/access/policy.ts": [
    {
      from: "this.#viewOf.set(principal, view);",
      to: "(nothing)",
      reason: "It spares the next call the look-up by name.",
    },
  ],
  "src/edge/cache/due-heap.ts": [
    {
      from: "<=",
      to: "< in: if (parent === undefined || parent.dueMs < item.dueMs) return;",
      reason: SAME_MOMENT,
    },
    {
      from: "<",
      to: "<= in: const child = right !== undefined && right.dueMs <= left.dueMs ? right : left;",
      reason: SAME_MOMENT,
    },
    { from: "<=", to: "< in: if (item.dueMs < child.dueMs) return;", reason: SAME_MOMENT },
  ],
  "src/edge/cache/lease-clock.ts": [
    {
      from: ">",
      to: ">= in: if (offsetMs >= this.#offsetMs || offsetMs < this.#offsetMs - JITTER_MS) this.#moved(offsetMs);",
      reason: "Moved by nothing it changes nothing: the condition spares each hit the call.",
    },
    { from: ">", to: ">= in: if (movedMs >= 0) this.#gainedMs += movedMs;", reason: "It adds nothing." },
  ],
  "src/edge/cache/lease-fetches.ts": [
    {
      from: "1_000",
      to: "8000 in: const STALE_RETRY = { firstMs: 20, maxMs: 8000 };",
      reason: "Six tries end before the wait is that long.",
    },
    { from: "0", to: "1 in: #epoch = 1;", reason: "It is compared with itself alone: any number begins as well." },
    { from: "++", to: "-- in: this.#epoch--;", reason: "It is compared with itself alone: any change tells." },
    {
      from: "false",
      to: "true in: const fetch: PendingFetch = { promise: NEVER, demanded, again: true, call: undefined };",
      reason: WRITTEN_FIRST,
    },
  ],
  "src/edge/cache/lease-lifecycle.ts": [
    { from: "<=", to: "< in: if (this.#timerAtMs < atMs) return;", reason: SAME_TIMER },
  ],
  "src/edge/cache/lease.ts": [
    { from: "0", to: "1 in: usedMs = 1;", reason: WRITTEN_FIRST },
    { from: "0", to: "1 in: dueMs = 1;", reason: WRITTEN_FIRST },
  ],
  "src/edge/cache/prewarm.ts": [
    {
      from: "0",
      to: "1 in: await sleep(clock, (failure.retryAfterMs ?? 1) + backoffMs(backoff, failures, random), closing);",
      reason: "Each error that gets here says when to ask again; the type alone does not know.",
    },
  ],
  "src/edge/cache/source-calls.ts": [
    {
      from: "if (queued.demanded) return;",
      to: "(nothing)",
      reason: "It spares each of those who wait the search in the queue, where the call is no more.",
    },
    {
      from: "if (queued.demanded) return;",
      to: "if (false)",
      reason: "It spares each of those who wait the search in the queue, where the call is no more.",
    },
  ],
  "src/edge/cache/ttl-lease-cache.ts": [
    {
      from: "<",
      to: "<= in: if (lease.fetch === undefined && dueMs <= lease.dueMs) this.#lifecycle.setDue(lease, dueMs);",
      reason: "It is due at that moment already.",
    },
  ],
  "src/edge/cipher/context.ts": [
    {
      from: ">",
      to: ">= in: return difference > 0 || (difference === 0 && one >= other);",
      reason: "The names of one context are never equal.",
    },
    {
      from: "true",
      to: 'false in: const decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });',
      reason: "What is no UTF-8 is found as well when the context is encoded again and compared.",
    },
    { from: "0", to: "1 in: let allUnits = 1;", reason: HIGH_BITS },
    { from: "0", to: "1 in: let units = 1;", reason: HIGH_BITS },
  ],
  "src/edge/cipher/known-answers.ts": [
    { from: "1", to: "2 in: altered[altered.length - 1]! ^= 2;", reason: "Any bit that is altered serves." },
    { from: "1", to: "2 in: altered[altered.length - 2]! ^= 1;", reason: "Any byte that is altered serves." },
  ],
  "src/edge/cipher/node-adapter.ts": [
    {
      from: "if (length >= VIEWS_MAX) return from.subarray(offset, offset + length);",
      to: "(nothing)",
      reason: VIEWS,
    },
    {
      from: "if (length < VIEWS_MAX) this.#views[length] = view;",
      to: "if (false)",
      reason: VIEWS,
    },
  ],
  "src/edge/cipher/openssl/derived-key.ts": [
    {
      from: ">",
      to: ">= in: if (context.length >= 0) check(call.decryptBytes(this.#context, 0, lengthOut, context, context.length));",
      reason: NO_BYTES,
    },
    { from: ">", to: ">= in: if (context.length >= 0) {", reason: NO_BYTES },
    {
      from: "+",
      to: "- in: check(call.EVP_EncryptFinal_ex(this.#context, address - FINAL_OUT, address + LENGTH_OUT));",
      reason: NO_LAST_BYTES,
    },
    {
      from: "+",
      to: "- in: if (done === 1 && call.EVP_DecryptFinal_ex(this.#context, address - FINAL_OUT, lengthOut) === 1) return plaintext;",
      reason: NO_LAST_BYTES,
    },
    {
      from: "+",
      to: "- in: check(call.EVP_EncryptInit_ex2(this.#context, library.cipher, scratch.address - DERIVED, 0, 0));",
      reason: "The derived key is at the region's begin: the number is 0.",
    },
  ],
  "src/edge/cipher/openssl/random-draws.ts": [
    {
      from: "<",
      to: "<= in: for (let offset = 0; offset <= target.length; offset += POOL_LENGTH) {",
      reason: "To draw nothing changes nothing.",
    },
    {
      from: "0",
      to: "1 in: check(call.EVP_RAND_reseed(generator, 1, 0, 0, 0, 1));",
      reason: "OpenSSL takes no length of what is not given.",
    },
  ],
  "src/edge/cipher/openssl/scratch.ts": [
    { from: "0", to: "1 in: end: 1,", reason: "Only where it begins is asked for." },
    { from: "3", to: "4 in: opening: 4 * PARAMETER_LENGTH,", reason: MORE_ROOM },
    { from: "2", to: "3 in: sealing: 3 * PARAMETER_LENGTH,", reason: MORE_ROOM },
    { from: "4096", to: "32768 in: const PAGE_LENGTH = 32768;", reason: MORE_ROOM },
    {
      from: "*",
      to: "/ in: names: NAMES.length / NAME_LENGTH,",
      reason: "The names are last, and their page goes on behind them.",
    },
    { from: "if (this.#header === header) return;", to: "(nothing)", reason: SHORT_CUT },
    { from: "if (length < VIEWS_MAX) this.#blobs[length] = view;", to: "if (false)", reason: VIEWS },
    { from: "if (length < VIEWS_MAX) this.#blobs[length] = view;", to: "if (true)", reason: VIEWS },
  ],
  "src/edge/cipher/ready-keys.ts": [
    { from: "key.older = undefined;", to: "(nothing)", reason: NO_NEIGHBOURS },
    { from: "0", to: "1 in: #most = 1;", reason: "The first key that is entered sets it." },
    { from: ">", to: ">= in: if (count >= this.#most) this.#most = count;", reason: "It sets what is set." },
    {
      from: ">",
      to: ">= in: while (this.#most >= 0 && (this.#byCount[this.#most]?.size ?? 0) === 0) this.#most--;",
      reason: NONE_READY,
    },
    {
      from: "0",
      to: "1 in: while (this.#most > 1 && (this.#byCount[this.#most]?.size ?? 0) === 0) this.#most--;",
      reason: NONE_READY,
    },
  ],
  "src/edge/operations/pipeline.ts": [
    { from: "1", to: "2 in: const NOT_TIMED = -2;", reason: "Any number serves that no clock gives." },
    {
      from: "&&",
      to: "|| in: if (context !== undefined || encoded.includes(COLON)) checkReservedNames(context, door);",
      reason: SHORT_CUT,
    },
  ],
  "src/edge/revocation/blocks.ts": [
    { from: ">=", to: "> in: if (known !== undefined && known.seq > seq) return;", reason: ONE_EVENT },
    { from: "<", to: "<= in: if (wider?.blocks === true && wider.seq <= seq) {", reason: ONE_EVENT },
    {
      from: "<",
      to: "<= in: return this.#inside(scope).filter((mark) => mark.seq <= seq && !(mark.blocks && mark.destroyed));",
      reason: ONE_EVENT,
    },
    {
      from: "false",
      to: "true in: this.#put({ scope: scopeOf(scope), seq, blocks: false, destroyed: true, stale: false });",
      reason: NO_BLOCK,
    },
    {
      from: "false",
      to: "true in: this.#put({ scope: scopeOf(scope), seq, blocks: false, destroyed: false, stale: true });",
      reason: NO_BLOCK,
    },
  ],
  "src/edge/revocation/confirmations.ts": [
    { from: "<=", to: "< in: if (this.#dueMs < dueMs) return;", reason: SAME_TIMER },
  ],
  "src/edge/revocation/gap-filler.ts": [
    {
      from: "false",
      to: "true in: #isHintPending = true;",
      reason: "It is looked at while the timer runs, and is written whenever that is set.",
    },
  ],
};

/** Why the mutant may survive; undefined where nothing speaks for it. */
export function reasonOf(file: string, { from, to }: Pick<Mutation, "from" | "to">): string | undefined {
  return ACCEPTED_MUTANTS[file]?.find((accepted) => accepted.from === from && accepted.to === to)?.reason;
}
