/** The kit's rules for ciphers: the edge's own two keep all of them, and for each rule there is one that breaks it. */
import { describe, expect, test } from "bun:test";
import type { CipherAdapter, DerivedKey } from "../../src/edge/cipher/cipher.ts";
import { createNodeAdapter } from "../../src/edge/cipher/node-adapter.ts";
import { cipherRules } from "../../src/sdk/conformance/cipher.ts";
import { runRules } from "../../src/sdk/conformance/rules.ts";
import { opensslAdapter } from "../support/ciphers.ts";

const outcomes = async (adapter: CipherAdapter, only?: string): Promise<string[]> =>
  (await runRules(cipherRules(adapter).filter(({ rule }) => only === undefined || rule === only))).map(
    ({ rule, outcome, detail }) => `${rule} ${outcome}${detail === undefined ? "" : `: ${detail}`}`,
  );

/** `node` with something changed, of the adapter or of its keys. */
function changed(
  adapter: (node: CipherAdapter) => Partial<CipherAdapter>,
  key: (node: DerivedKey) => Partial<DerivedKey> = () => ({}),
): CipherAdapter {
  const node = createNodeAdapter();
  const good: CipherAdapter = {
    name: "changed",
    library: "node",
    fips: false,
    fillRandom: (target) => node.fillRandom(target),
    deriveKey(...given) {
      const derived = node.deriveKey(...given);
      if (derived === undefined) return undefined;
      const bound: DerivedKey = {
        commitment: derived.commitment,
        seal: (...rest) => derived.seal(...rest),
        sealRandom: (...rest) => derived.sealRandom(...rest),
        sealRandomTo(header, nonceOffset, context, length, isTold, take) {
          const dataKey = new Uint8Array(length);
          take(derived.sealRandom(header, nonceOffset, context, length, dataKey), isTold ? dataKey : undefined);
          dataKey.fill(0);
        },
        open: (...rest) => derived.open(...rest),
        close: () => derived.close(),
      };
      return { ...bound, ...key(bound) };
    },
    reseed: () => node.reseed(),
    close: () => node.close(),
  };
  return { ...good, ...adapter(good) };
}

for (const [name, make] of Object.entries({ node: createNodeAdapter, openssl: opensslAdapter })) {
  test(`the edge's own "${name}" keeps every rule`, async () => {
    const results = await outcomes(make());
    expect(results.filter((result) => !result.endsWith(" kept"))).toEqual([]);
    expect(results).toHaveLength(9);
  });
}

describe("a rule is broken by a cipher that", () => {
  const same = () => ({});
  const broken: Record<string, [rule: string, adapter: CipherAdapter]> = {
    "gives another data key than the one in the blob": [
      "random",
      changed(same, (key) => ({
        sealRandomTo: (...[header, nonce, context, length, isTold, take]) =>
          key.sealRandomTo!(header, nonce, context, length, isTold, (blob, dataKey) =>
            take(blob, dataKey === undefined ? undefined : new Uint8Array(dataKey.length)),
          ),
      })),
    ],
    "gives a data key that nobody asked for": [
      "random",
      changed(same, (key) => ({
        sealRandomTo: (...[header, nonce, context, length, , take]) =>
          key.sealRandomTo!(header, nonce, context, length, true, take),
      })),
    ],
    "leaves a data key where it made it": [
      "random",
      changed(same, (key) => ({
        sealRandomTo(header, nonce, context, length, isTold, take) {
          const dataKey = new Uint8Array(length);
          take(key.sealRandom(header, nonce, context, length, dataKey), isTold ? dataKey : undefined);
        },
      })),
    ],
    "gives no key to who takes it": ["random", changed(same, () => ({ sealRandomTo() {} }))],
    "makes keys for a batch under a closed key": [
      "misuse",
      changed(same, (key) => {
        const { sealRandomTo } = key;
        return { sealRandomTo: sealRandomTo!, close() {} };
      }),
    ],
    "opens without looking at the context": [
      "tampering",
      changed(same, (key) => ({
        seal: (header, nonce, _context, plaintext) => key.seal(header, nonce, new Uint8Array(0), plaintext),
        open: (blob, nonce, at) => key.open(blob, nonce, at, new Uint8Array(0)),
      })),
    ],
    "does not open the published blobs": ["vectors", changed(same, () => ({ open: () => undefined }))],
    "seals so that others can't open": [
      "crossing",
      changed(same, (key) => ({
        seal: (header, nonce, context, plaintext) =>
          key.seal(
            header,
            nonce,
            context,
            plaintext.map((byte) => byte ^ 1),
          ),
        open: (...given) => key.open(...given)?.map((byte) => byte ^ 1),
      })),
    ],
    "compares no commitment": [
      "commitment",
      changed((good) => ({ deriveKey: (serviceKey, salt, info) => good.deriveKey(serviceKey, salt, info) })),
    ],
    "wipes what it was lent": [
      "ownership",
      changed(same, (key) => ({
        seal(header, nonce, context, plaintext) {
          const blob = key.seal(header, nonce, context, plaintext);
          plaintext.fill(0);
          return blob;
        },
      })),
    ],
    "leaves the end of a buffer as it was": [
      "random",
      changed((good) => ({ fillRandom: (target) => good.fillRandom(target.subarray(0, target.length - 1)) })),
    ],
    "tells another data key than the one in the blob": [
      "random",
      changed(same, (key) => ({
        sealRandom(header, nonce, context, length, plaintext) {
          const blob = key.sealRandom(header, nonce, context, length, plaintext);
          plaintext?.fill(1);
          return blob;
        },
      })),
    ],
    "uses one nonce again": [
      "nonces",
      (() => {
        let first: Uint8Array | undefined;
        return changed(same, (key) => ({
          seal(...given) {
            first ??= key.seal(...given);
            return first;
          },
        }));
      })(),
    ],
    "goes on with a closed key": ["misuse", changed(same, () => ({ close: () => {} }))],
    "can't be closed twice": [
      "close",
      (() => {
        let closed = false;
        return changed(() => ({
          close() {
            if (closed) throw new Error("closed already");
            closed = true;
          },
        }));
      })(),
    ],
  };
  for (const [what, [rule, adapter]] of Object.entries(broken)) {
    test(`${what}: ${rule}`, async () => {
      expect((await outcomes(adapter, rule))[0]).toStartWith(`${rule} broken`);
    });
  }
});
