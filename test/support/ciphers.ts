import { foreignFunctions, loadSystemCalls } from "../../src/base/system/system-calls.ts";
import type { Cipher, CipherAdapter, DerivedKey } from "../../src/edge/cipher/cipher.ts";
import { createNodeAdapter } from "../../src/edge/cipher/node-adapter.ts";
import { createOpensslAdapter, type OpensslOptions } from "../../src/edge/cipher/openssl/adapter.ts";
import { findLibrary } from "../../src/edge/cipher/openssl/find-library.ts";
import { type CipherOptions, createCipher } from "../../src/edge/cipher/sessions.ts";
import { regionTaker } from "../../src/edge/key-memory/region.ts";

type FillRandom = (bytes: Uint8Array) => void;

/** The cipher that works everywhere; `fillRandom` stands for the operating system's generator. */
export function nodeCipher({
  fillRandom,
  ...options
}: Omit<CipherOptions, "adapter"> & { readonly fillRandom?: FillRandom } = {}): Cipher {
  return createCipher({ ...options, adapter: createNodeAdapter(fillRandom) });
}

const foreign = await foreignFunctions();
const { calls } = await loadSystemCalls();
const library = findLibrary();

/** The machine's OpenSSL: every machine that runs these tests has one. */
export function opensslAdapter(fillRandom?: FillRandom, options: Partial<OpensslOptions> = {}): CipherAdapter {
  if (foreign === undefined || "reason" in library) throw new Error(`no libcrypto: ${JSON.stringify(library)}`);
  // Locked memory is bounded for all tests of a process (RLIMIT_MEMLOCK), and most of them close no adapter.
  const takeMemory = regionTaker("heap", calls);
  return createOpensslAdapter({ foreign, library: library.path, takeMemory, fillRandom, ...options });
}

/** The key's methods as they are, for a test that puts others in the place of some. */
export function methodsOf(key: DerivedKey): DerivedKey {
  return {
    commitment: key.commitment,
    seal: key.seal.bind(key),
    sealRandom: key.sealRandom.bind(key),
    ...(key.sealRandomTo === undefined ? {} : { sealRandomTo: key.sealRandomTo.bind(key) }),
    open: key.open.bind(key),
    close: key.close.bind(key),
  };
}

let shared: CipherAdapter | undefined;

/** What every promise of the cipher is tested with; `openssl` is one adapter for all, unless the random bytes are given. */
export const ADAPTERS: Readonly<Record<string, (fillRandom?: FillRandom) => CipherAdapter>> = {
  node: (fillRandom) => createNodeAdapter(fillRandom),
  openssl(fillRandom) {
    if (fillRandom !== undefined) return opensslAdapter(fillRandom);
    shared ??= opensslAdapter();
    return shared;
  },
};
