import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CipherAdapter, DerivedKey } from "../../../src/edge/cipher/cipher.ts";
import { createNodeAdapter } from "../../../src/edge/cipher/node-adapter.ts";
import {
  CIPHERS,
  type CipherFactory,
  CipherUnavailableError,
  openCipher,
} from "../../../src/edge/cipher/open-cipher.ts";
import { findLibrary, OpensslError, whoElseMayWrite } from "../../../src/edge/cipher/openssl/find-library.ts";
import { regionTaker } from "../../../src/edge/key-memory/region.ts";
import { methodsOf, opensslAdapter } from "../../support/ciphers.ts";

async function open(use: string, ciphers: Readonly<Record<string, CipherFactory>> = CIPHERS, requireFips = false) {
  const warnings: string[] = [];
  const takeMemory = regionTaker("heap", undefined);
  const adapter = await openCipher({
    use,
    requireFips,
    takeMemory,
    ciphers,
    warn: (message) => void warnings.push(message),
  });
  adapter.close();
  return { adapter, warnings };
}

/** An adapter that is `node` but for one method of its derived keys. */
function otherwise(change: (key: DerivedKey) => Partial<DerivedKey>, fips = false): CipherAdapter {
  const node = createNodeAdapter();
  return {
    name: "otherwise",
    library: "a library with a fault",
    fips,
    fillRandom: (target) => node.fillRandom(target),
    deriveKey(...given) {
      const key = node.deriveKey(...given);
      if (key === undefined) return undefined;
      const bound = methodsOf(key);
      return { ...bound, ...change(bound) };
    },
    reseed() {},
    close() {},
  };
}

test("auto takes the machine's OpenSSL, with its version, and says nothing", async () => {
  const { adapter, warnings } = await open("auto");
  expect(adapter).toMatchObject({ name: "openssl", fips: false });
  expect(adapter.library).toMatch(/^OpenSSL 3\.\d+\.\d+$/);
  expect(warnings).toEqual([]);
});

test("auto takes node where OpenSSL can't be used, and says why", async () => {
  const openssl: CipherFactory = () => {
    throw new OpensslError("There is no libcrypto 3 in the system's library folders");
  };
  const { adapter, warnings } = await open("auto", { ...CIPHERS, openssl });
  expect(adapter.name).toBe("node");
  expect(warnings).toEqual([
    'The cipher "openssl" is not used: There is no libcrypto 3 in the system\'s library folders.',
  ]);
});

test("an adapter that is not taken is closed, and one whose making is a defect is no reason to take another quietly", async () => {
  let closed = 0;
  const wrong = (): CipherAdapter => ({
    ...otherwise((key) => ({ open: () => key.commitment })),
    close: () => void closed++,
  });
  const failure = await open("openssl", { openssl: wrong }).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(CipherUnavailableError);
  expect((failure as Error).name).toBe("CipherUnavailableError");
  expect(closed).toBe(1);
  const defect = new TypeError("a defect");
  const defective: CipherFactory = () => {
    throw defect;
  };
  expect(await open("openssl", { openssl: defective }).catch((error: unknown) => error)).toBe(defect);
});

describe("a library that answers wrong is not used", () => {
  const flip = (bytes: Uint8Array | undefined, at: number): Uint8Array | undefined => {
    if (bytes !== undefined) bytes[at]! ^= 1;
    return bytes;
  };
  const nothing = new Uint8Array(0);
  const faults: Record<string, (key: DerivedKey) => Partial<DerivedKey>> = {
    "opens a published blob otherwise": (key) => ({ open: (...given) => flip(key.open(...given), 0) }),
    "opens an altered blob": (key) => ({ open: (...given) => key.open(...given) ?? nothing }),
    "another context": (key) => ({ open: (blob, nonce, at) => key.open(blob, nonce, at, CONTEXT) }),
    "not open what it sealed": (key) => ({ seal: (...given) => flip(key.seal(...given), 130)! }),
    "a nonce twice": (key) => ({ seal: () => publishedBlob(key) }),
  };
  let lastBlob = nothing;
  const publishedBlob = (_key: DerivedKey): Uint8Array => lastBlob;
  const CONTEXT = Uint8Array.from(Buffer.from("0001000770757270" + "6f73650007696e766f696365", "hex"));
  for (const [fault, change] of Object.entries(faults)) {
    test(fault, async () => {
      const factory = () =>
        otherwise((key) => {
          const changed = change(key);
          const opens = changed.open ?? key.open;
          return {
            ...changed,
            open(...given) {
              const opened = opens(...given);
              if (opened !== undefined) lastBlob = given[0].slice();
              return opened;
            },
          };
        });
      await expect(open("openssl", { openssl: factory })).rejects.toThrow(fault);
      const { adapter, warnings } = await open("auto", { ...CIPHERS, openssl: factory });
      expect(adapter.name).toBe("node");
      expect(warnings.join()).toContain("failed its known-answer test");
    });
  }

  test("takes a commitment that differs", async () => {
    const node = createNodeAdapter();
    const careless = { ...otherwise(() => ({})), deriveKey: node.deriveKey.bind(node) } as CipherAdapter;
    const factory = () => ({
      ...careless,
      deriveKey: (...[key, salt, info]: Parameters<CipherAdapter["deriveKey"]>) => node.deriveKey(key, salt, info),
    });
    await expect(open("openssl", { openssl: factory })).rejects.toThrow("takes a commitment that differs");
  });
});

describe("require_fips", () => {
  test("refuses to start with the default provider, and says what to do", async () => {
    for (const use of ["auto", "openssl"]) {
      await expect(open(use, CIPHERS, true)).rejects.toThrow(
        /No FIPS provider of OpenSSL 3.*is active.*openssl\.cnf.*take require_fips out/,
      );
    }
    await expect(open("node", CIPHERS, true)).rejects.toThrow("is no FIPS module");
  });

  test("takes what says that it is a FIPS module", async () => {
    const { adapter } = await open("openssl", { openssl: () => otherwise(() => ({}), true) }, true);
    expect(adapter.fips).toBe(true);
  });
});

describe("OpenSSL's configuration", () => {
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-openssl-"));
  const path = join(folder, "openssl.cnf");

  test("that leaves no provider with AES is a refusal, which names the file", () => {
    const providers = "[init]\nproviders = providers\n[providers]\nnull = null\n[null]\nactivate = 1\n";
    writeFileSync(path, `openssl_conf = init\n${providers}`, { mode: 0o600 });
    expect(() => opensslAdapter(undefined, { configuration: path })).toThrow(path);
  });

  test("that others may write is not read", () => {
    const open = join(folder, "open");
    mkdirSync(open);
    chmodSync(open, 0o777);
    writeFileSync(join(open, "openssl.cnf"), "");
    expect(() => opensslAdapter(undefined, { configuration: join(open, "openssl.cnf") })).toThrow("can't be trusted");
    rmSync(folder, { recursive: true });
  });
});

describe("the library's file", () => {
  test("is the system's own", () => {
    const found = findLibrary();
    expect(found).toHaveProperty("path");
    expect(whoElseMayWrite((found as { path: string }).path)).toBeUndefined();
  });

  test("is not taken from where others may write, nor by a name that a loader would look up", () => {
    const folder = mkdtempSync(join(tmpdir(), "crypto-edge-library-"));
    const planted = join(folder, "libcrypto.so.3");
    writeFileSync(planted, "");
    chmodSync(folder, 0o777);
    expect(findLibrary([planted])).toMatchObject({ reason: expect.stringContaining("others may write") });
    expect(findLibrary([join(folder, "none.so")])).toMatchObject({ reason: expect.stringContaining("no libcrypto 3") });
    rmSync(folder, { recursive: true });
  });
});
