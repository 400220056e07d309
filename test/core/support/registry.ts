/** The keys of a Core over a real store, without the network. */
import { systemClock } from "../../../src/base/time/system-clock.ts";
import { KeyHierarchy } from "../../../src/core/keys/hierarchy.ts";
import { KeyRegistry } from "../../../src/core/keys/registry.ts";
import { openKeyStore } from "../../../src/core/open-key-store.ts";
import type { LoggedEvent } from "../../../src/core/protocol/events.ts";
import type { StoreOptions } from "../../../src/core/store/open-store.ts";
import type { Store } from "../../../src/core/store/store.ts";

export interface OpenedRegistry {
  readonly store: Store;
  readonly registry: KeyRegistry;
  readonly hierarchy: KeyHierarchy;
  /** What was committed through this registry, in order. */
  readonly events: LoggedEvent[];
  close(): Promise<void>;
}

export async function openRegistry(options: {
  readonly database: StoreOptions["database"];
  readonly masterKey: Uint8Array;
  readonly formerMasterKey?: Uint8Array;
  readonly retainedEvents?: number;
}): Promise<OpenedRegistry> {
  const hierarchy = new KeyHierarchy(options.masterKey, options.formerMasterKey);
  const store = await openKeyStore({
    database: options.database,
    retainedEvents: options.retainedEvents ?? 100_000,
    clock: systemClock,
    hierarchy,
  });
  const events: LoggedEvent[] = [];
  const registry = new KeyRegistry({
    store,
    hierarchy,
    now: Date.now,
    onCommitted: async (committed) => void events.push(...committed),
  });
  return {
    store,
    registry,
    hierarchy,
    events,
    async close() {
      await store.close();
      hierarchy.wipe();
    },
  };
}
