import { loadSystemCalls } from "../../src/base/system/system-calls.ts";
import type { Cipher } from "../../src/edge/cipher/cipher.ts";
import { CIPHERS, openCipher } from "../../src/edge/cipher/open-cipher.ts";
import { createCipher } from "../../src/edge/cipher/sessions.ts";
import { regionTaker } from "../../src/edge/key-memory/region.ts";

/** The cipher as the edge opens it: `auto`, or one adapter by its name. @throws when this machine has none such */
export async function openBenchCipher(use: string): Promise<Cipher> {
  const { calls } = await loadSystemCalls();
  const takeMemory = regionTaker(calls === undefined ? "heap" : "locked", calls);
  const adapter = await openCipher({ use, requireFips: false, takeMemory, ciphers: CIPHERS, warn: console.error });
  return createCipher({ adapter });
}

/** What the edge takes by itself on this machine. */
export const CIPHER = await openBenchCipher("auto");
