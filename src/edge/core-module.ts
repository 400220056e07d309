/** The Core, where it is a key source or a transport: its code is loaded then alone (core-parts.ts). */
import type { Module } from "../base/module.ts";
import { loadMetadata } from "../base/system/metadata.ts";
import { CLOCK } from "../base/time/clock.ts";
import { CORE, LOADED, PROCESS_LOG } from "./contributions.ts";
import type { CoreParts } from "./core-parts.ts";
import { REVOCATION_CORE } from "./revocation/module.ts";
import { USAGE_SENDER } from "./usage/module.ts";

export const coreModule: Module<CoreParts | undefined> = {
  token: CORE,
  async make(get) {
    const loaded = get(LOADED);
    const section = loaded.configuration.key_source.core;
    if (section === undefined) return undefined;
    await loadMetadata();
    const { createCoreParts } = await import("./core-parts.ts");
    return createCoreParts(loaded, section, get(CLOCK), get(PROCESS_LOG));
  },
};

export const revocationCoreModule: Module = { token: REVOCATION_CORE, make: (get) => get(CORE) };
export const usageSenderModule: Module = { token: USAGE_SENDER, make: (get) => get(CORE)?.send };
