import { LOG, type Module } from "../base/module.ts";
import { loadSystemCalls } from "../base/system/system-calls.ts";
import { CIPHER_MEMORY } from "./cipher/module.ts";
import { KEY_MEMORY } from "./key-memory/module.ts";
import { RegionError, regionTaker } from "./key-memory/region.ts";

/** Memory for the cipher's secrets: of the kind that keys have, and the heap, with a warning, where there is no more of it. */
export const cipherMemoryModule: Module = {
  token: CIPHER_MEMORY,
  async make(get) {
    const { kind } = get(KEY_MEMORY);
    const { calls } = await loadSystemCalls();
    return (lengthBytes: number) => {
      try {
        return regionTaker(kind, calls)(lengthBytes);
      } catch (error) {
        if (!(error instanceof RegionError)) throw error;
        get(LOG).warn(`The cipher's memory is on the heap: ${error.message}. Raise RLIMIT_MEMLOCK.`);
        return regionTaker("heap", calls)(lengthBytes);
      }
    };
  },
};
