import { LOG, type Module, token } from "../../base/module.ts";
import type { KeyMemory, KeyMemoryChoice } from "./key-memory.ts";
import { openKeyMemory } from "./open-key-memory.ts";

export const KEY_MEMORY = token<KeyMemory>("KeyMemory");

export interface KeyMemorySettings {
  readonly choice: KeyMemoryChoice;
  /** How many keys it must have room for. */
  readonly expectedKeys: number;
}
export const KEY_MEMORY_SETTINGS = token<KeyMemorySettings>("KeyMemorySettings");

export const keyMemoryModule: Module<KeyMemory> = {
  token: KEY_MEMORY,
  make: (get) => openKeyMemory({ ...get(KEY_MEMORY_SETTINGS), warn: (message) => get(LOG).warn(message) }),
};
