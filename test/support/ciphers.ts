import type { Cipher } from "../../src/edge/cipher/cipher.ts";
import { createNodeAdapter } from "../../src/edge/cipher/node-adapter.ts";
import { type CipherOptions, createCipher } from "../../src/edge/cipher/sessions.ts";

/** The cipher that works everywhere; `fillRandom` stands for the operating system's generator. */
export function nodeCipher({
  fillRandom,
  ...options
}: Omit<CipherOptions, "adapter"> & { readonly fillRandom?: (bytes: Uint8Array) => void } = {}): Cipher {
  return createCipher({ ...options, adapter: createNodeAdapter(fillRandom) });
}
