/** Which mistakes of an adapter its known answers show. What `auto` does then is in open-cipher.test.ts. */
import { describe, expect, test } from "bun:test";
import type { CipherAdapter, DerivedKey } from "../../../src/edge/cipher/cipher.ts";
import { wrongAnswer } from "../../../src/edge/cipher/known-answers.ts";
import { createNodeAdapter } from "../../../src/edge/cipher/node-adapter.ts";
import { ADAPTERS, methodsOf } from "../../support/ciphers.ts";

type Change = (key: DerivedKey, number: number) => Partial<DerivedKey>;

/** `node`, its keys changed; `change` is told which key it is, from 0. */
function changed(change: Change, derive?: CipherAdapter["deriveKey"]) {
  const node = createNodeAdapter();
  const counts = { derived: 0, closed: 0 };
  const adapter: CipherAdapter = {
    name: "changed",
    library: "node",
    fips: false,
    fillRandom: (target) => node.fillRandom(target),
    deriveKey(...given) {
      const key = (derive ?? node.deriveKey.bind(node))(...given);
      if (key === undefined) return undefined;
      const bound: DerivedKey = {
        ...methodsOf(key),
        close() {
          counts.closed++;
          key.close();
        },
      };
      return { ...bound, ...change(bound, counts.derived++) };
    },
    reseed() {},
    close() {},
  };
  return { adapter, counts };
}

test.each(Object.entries(ADAPTERS))("%s gives every answer", (_, adapter) => {
  expect(wrongAnswer(adapter())).toBeUndefined();
});

test("the keys are closed, right or wrong", () => {
  const right = changed(() => ({}));
  expect(wrongAnswer(right.adapter)).toBeUndefined();
  expect(right.counts).toEqual({ derived: 2, closed: 2 });
  const wrong = changed(() => ({ open: () => undefined }));
  expect(wrongAnswer(wrong.adapter)).toBeDefined();
  expect(wrong.counts).toEqual({ derived: 1, closed: 1 });
});

describe("an adapter is wrong that", () => {
  const flipped = (bytes: Uint8Array | undefined, at = 0): Uint8Array | undefined => {
    if (bytes !== undefined) bytes.set([bytes.at(at)! ^ 1], at < 0 ? bytes.length + at : at);
    return bytes;
  };

  test("derives another key", () => {
    expect(
      wrongAnswer(
        changed(
          () => ({}),
          () => undefined,
        ).adapter,
      ),
    ).toBe("HKDF-SHA-256 gives another key");
  });

  test("opens the second of the published blobs otherwise", () => {
    const { adapter, counts } = changed((key, number) =>
      number === 1 ? { open: (...given) => flipped(key.open(...given), -1) } : {},
    );
    expect(wrongAnswer(adapter)).toBe("AES-256-GCM opens a published blob otherwise");
    expect(counts.derived).toBe(2);
  });

  test("gives too short a plaintext", () => {
    const { adapter } = changed((key) => ({ open: (...given) => key.open(...given)?.slice(0, -1) }));
    expect(wrongAnswer(adapter)).toBe("AES-256-GCM opens a published blob otherwise");
  });

  const DATA_KEY_FAULTS: Readonly<Record<string, readonly [Change, says: string]>> = {
    "tells another data key than it made": [
      (key) => ({
        sealRandom(header, nonceOffset, context, length, plaintext) {
          const blob = key.sealRandom(header, nonceOffset, context, length, plaintext);
          flipped(plaintext, 31);
          return blob;
        },
      }),
      "it does not open the data key that it made",
    ],
    "makes a blob of a data key that does not open": [
      (key) => ({ sealRandom: (...given) => flipped(key.sealRandom(...given), -1)! }),
      "it does not open the data key that it made",
    ],
    "gives another data key of a batch than it made": [
      (key) => ({
        sealRandomTo(header, nonceOffset, context, length, _isTold, take) {
          const dataKey = new Uint8Array(length);
          const blob = key.sealRandom(header, nonceOffset, context, length, dataKey);
          take(blob, flipped(dataKey, 31));
        },
      }),
      "it does not open the data key that it made",
    ],
    "draws nothing": [
      (key) => ({
        sealRandom: (header, nonceOffset, context, length) =>
          key.seal(header, nonceOffset, context, new Uint8Array(length)),
      }),
      "it makes a data key twice",
    ],
  };
  test.each(Object.entries(DATA_KEY_FAULTS))("%s", (_, [change, says]) => {
    expect(wrongAnswer(changed(change).adapter)).toBe(says);
  });
});
