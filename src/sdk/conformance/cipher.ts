/** The contract of a cipher (`CipherAdapter`): each of these rules is a sentence of the port's text. */

import { encodeIdentity, type Suite } from "../../edge/cipher/blob.ts";
import type { CipherAdapter, DerivedKey } from "../../edge/cipher/cipher.ts";
import { infoFor } from "../../edge/cipher/key-derivation.ts";
import { wrongAnswer } from "../../edge/cipher/known-answers.ts";
import { createNodeAdapter } from "../../edge/cipher/node-adapter.ts";
import { broken, checkCloseTwice, type Rule } from "./rules.ts";

const NONCE_OFFSET = 41;
const HEADER_LENGTH = NONCE_OFFSET + 12 + 32;
const SALT = new Uint8Array(16).fill(3);
const CONTEXT = new Uint8Array(39).fill(4);
const NO_CONTEXT = new Uint8Array(0);
/** Of data keys, of the shortest and the longest value, and around a block. */
const LENGTHS = [1, 15, 16, 17, 32, 33, 64, 1_000, 65_536];
const CONTEXT_LENGTHS = [0, 1, 15, 16, 17, 8_192];
const NONCES = 2_000;

export function cipherRules(adapter: CipherAdapter): Rule[] {
  const serviceKey = new Uint8Array(32).fill(9);
  const header = new Uint8Array(HEADER_LENGTH).fill(5);
  const info = (suite: Suite): Uint8Array =>
    infoFor(encodeIdentity({ tenant: "tenant-a", service: "billing", version: 1 }, suite));
  const derive = (by: CipherAdapter, suite: Suite = 1): DerivedKey => {
    const key = by.deriveKey({ use: (reader) => reader(serviceKey) }, SALT, info(suite));
    if (key === undefined || key instanceof Promise) throw broken("deriveKey gives no key at once");
    return key;
  };
  const open = (key: DerivedKey, blob: Uint8Array, context: Uint8Array): Uint8Array | undefined =>
    key.open(blob, NONCE_OFFSET, HEADER_LENGTH, context);

  return [
    {
      rule: "vectors",
      title: "it opens the published blobs of both suites, and nothing that differs from them",
      async run() {
        const wrong = wrongAnswer(adapter);
        if (wrong !== undefined) throw broken(wrong);
      },
    },
    {
      rule: "crossing",
      title: "it opens what the edge's own cipher seals, and the other way round, whatever the lengths",
      async run() {
        for (const suite of [1, 2] as const) {
          const [own, other] = [derive(adapter, suite), derive(createNodeAdapter(), suite)];
          if (!isEqual(own.commitment, other.commitment)) throw broken("the commitment is another");
          for (const length of LENGTHS) {
            for (const contextLength of CONTEXT_LENGTHS) {
              const plaintext = new Uint8Array(length).map((_, index) => index);
              const context = new Uint8Array(contextLength).fill(7);
              const where = `${length} bytes with a context of ${contextLength}`;
              const sealed = own.seal(header, NONCE_OFFSET, context, plaintext);
              if (!isEqual(open(other, sealed, context), plaintext))
                throw broken(`what it seals does not open: ${where}`);
              const foreign = other.seal(header, NONCE_OFFSET, context, plaintext);
              if (!isEqual(open(own, foreign, context), plaintext)) throw broken(`it does not open: ${where}`);
            }
          }
          for (const key of [own, other]) key.close();
        }
      },
    },
    {
      rule: "tampering",
      title: "one bit changed, or another context, and open answers undefined",
      async run() {
        const key = derive(adapter);
        const blob = key.seal(header, NONCE_OFFSET, CONTEXT, new Uint8Array(32));
        for (let bit = 0; bit < blob.length * 8; bit++) {
          const changed = Uint8Array.from(blob);
          changed[bit >> 3]! ^= 1 << (bit & 7);
          if (open(key, changed, CONTEXT) !== undefined) throw broken(`byte ${bit >> 3} may be changed`);
        }
        for (const context of [NO_CONTEXT, CONTEXT.subarray(1), new Uint8Array(39)]) {
          if (open(key, blob, context) !== undefined) throw broken("the context may be another");
        }
        key.close();
      },
    },
    {
      rule: "commitment",
      title: "a commitment that differs, in whichever byte, and deriveKey answers undefined",
      async run() {
        const { commitment } = derive(adapter);
        if (commitment.length !== 32) throw broken("the commitment has not 32 bytes");
        for (let index = 0; index < 32; index++) {
          const changed = Uint8Array.from(commitment);
          changed[index]! ^= 0x80;
          const key = adapter.deriveKey({ use: (reader) => reader(serviceKey) }, SALT, info(1), changed);
          if (key !== undefined) throw broken(`byte ${index} of it may differ`);
        }
      },
    },
    {
      rule: "ownership",
      title: "buffers given in are neither changed nor kept; buffers given out are new, and the caller's to wipe",
      async run() {
        const lent = Uint8Array.from(serviceKey);
        const given = [header, CONTEXT, new Uint8Array(32).fill(6), SALT, info(1)].map((bytes) =>
          Uint8Array.from(bytes),
        );
        const [head, context, plaintext, salt, text] = given as [
          Uint8Array,
          Uint8Array,
          Uint8Array,
          Uint8Array,
          Uint8Array,
        ];
        const before = [...given, lent].map((bytes) => Uint8Array.from(bytes));
        const key = adapter.deriveKey({ use: (reader) => reader(lent) }, salt, text)!;
        const sealed = key.seal(head, NONCE_OFFSET, context, plaintext);
        const unchanged = [...given, lent].every((bytes, index) => isEqual(bytes, before[index]!));
        if (!unchanged) throw broken("it changes a buffer that it was given");
        lent.fill(0);
        const again = key.seal(head, NONCE_OFFSET, context, plaintext);
        sealed.fill(0);
        const opened = open(key, again, context);
        if (!isEqual(opened, plaintext)) throw broken("it keeps the service key's buffer, or one that it gave out");
        opened!.fill(0);
        if (!isEqual(open(key, again, context), plaintext)) throw broken("what it opens is not the caller's alone");
        key.close();
      },
    },
    {
      rule: "random",
      title: "random bytes fill all that is asked for, and a data key that is drawn is the one in the blob",
      async run() {
        for (const length of [1, 12, 44, 5_000]) {
          const draws = Array.from({ length: 8 }, () => new Uint8Array(length));
          for (const draw of draws) adapter.fillRandom(draw);
          for (let index = 0; index < length; index++) {
            if (draws.every((draw) => draw[index] === 0)) throw broken(`byte ${index} of ${length} stays 0`);
          }
        }
        const key = derive(adapter);
        for (const length of [16, 32, 64]) {
          const dataKey = new Uint8Array(length);
          const blob = key.sealRandom(header, NONCE_OFFSET, CONTEXT, length, dataKey);
          if (!isEqual(open(key, blob, CONTEXT), dataKey)) throw broken("the data key is not the one in the blob");
          const untold = open(key, key.sealRandom(header, NONCE_OFFSET, CONTEXT, length), CONTEXT);
          if (untold?.length !== length || isEqual(untold, dataKey)) throw broken("a data key comes twice");
          for (const isTold of [true, false]) checkTaken(key, header, length, isTold);
        }
        key.close();
      },
    },
    {
      rule: "nonces",
      title: "no nonce comes twice",
      async run() {
        const key = derive(adapter);
        const seen = new Set<string>();
        for (let count = 0; count < NONCES; count++) {
          const blob = key.seal(header, NONCE_OFFSET, NO_CONTEXT, new Uint8Array(16));
          seen.add(blob.subarray(NONCE_OFFSET, NONCE_OFFSET + 12).join());
          if (count === NONCES / 2) adapter.reseed();
        }
        key.close();
        if (seen.size !== NONCES) throw broken(`${NONCES - seen.size} of ${NONCES} came again`);
      },
    },
    {
      rule: "misuse",
      title: "a closed key throws, and may be closed twice; what reading the service key throws comes through",
      async run() {
        const key = derive(adapter);
        const blob = key.seal(header, NONCE_OFFSET, NO_CONTEXT, new Uint8Array(16));
        key.close();
        key.close();
        const uses = {
          seal: () => key.seal(header, NONCE_OFFSET, NO_CONTEXT, new Uint8Array(16)),
          sealRandom: () => key.sealRandom(header, NONCE_OFFSET, NO_CONTEXT, 32),
          ...(key.sealRandomTo === undefined ? {} : { sealRandomTo: () => takenOf(key, header, 32, false) }),
          open: () => open(key, blob, NO_CONTEXT),
        };
        for (const [name, use] of Object.entries(uses)) {
          if (!throws(use)) throw broken(`${name} works with a closed key`);
        }
        const live = derive(adapter);
        const short = new Uint8Array(31);
        if (!throws(() => live.sealRandom(header, NONCE_OFFSET, NO_CONTEXT, 32, short))) {
          throw broken("sealRandom takes a buffer that is not as long as the data key");
        }
        live.close();
        const released = new Error("released");
        const gone = {
          use: () => {
            throw released;
          },
        };
        if (!throws(() => adapter.deriveKey(gone, SALT, info(1)), released)) throw broken("the reader's error is lost");
      },
    },
    {
      rule: "close",
      title: "close may be called twice",
      run: () => checkCloseTwice({ close: async () => adapter.close() }),
    },
  ];
}

interface Taken {
  readonly blob: Uint8Array;
  readonly dataKey: Uint8Array | undefined;
  /** The adapter's own memory, after the call. */
  readonly left: Uint8Array | undefined;
}

/** What `sealRandomTo` gives, copied while it may be read. Undefined where the adapter leaves it out. */
function takenOf(key: DerivedKey, header: Uint8Array, length: number, isTold: boolean): Taken | undefined {
  let taken: Taken | undefined;
  key.sealRandomTo?.(header, NONCE_OFFSET, CONTEXT, length, isTold, (blob, dataKey) => {
    taken = {
      blob: new Uint8Array(blob),
      dataKey: dataKey === undefined ? undefined : new Uint8Array(dataKey),
      left: dataKey,
    };
  });
  return taken;
}

function checkTaken(key: DerivedKey, header: Uint8Array, length: number, isTold: boolean): void {
  const taken = takenOf(key, header, length, isTold);
  if (taken === undefined) {
    if (key.sealRandomTo !== undefined) throw broken("sealRandomTo gives nothing");
    return;
  }
  const { blob, dataKey, left } = taken;
  if ((dataKey !== undefined) !== isTold)
    throw broken("sealRandomTo does not look at whether the data key is asked for");
  const opened = key.open(blob, NONCE_OFFSET, header.length, CONTEXT);
  if (opened?.length !== length || (dataKey !== undefined && !isEqual(opened, dataKey))) {
    throw broken("the data key that sealRandomTo gives is not the one in the blob");
  }
  if (left?.some((byte) => byte !== 0)) throw broken("sealRandomTo leaves the data key where it was");
}

function throws(use: () => unknown, what?: Error): boolean {
  try {
    use();
    return false;
  } catch (error) {
    return what === undefined || error === what;
  }
}

function isEqual(one: Uint8Array | undefined, other: Uint8Array): boolean {
  return one !== undefined && one.length === other.length && one.every((byte, index) => byte === other[index]);
}
