/** Opens the store with the master key that it was made with. */
import { type KeyHierarchy, MASTER_KEY_CHECK } from "./keys/hierarchy.ts";
import { openStore, type StoreOptions } from "./store/open-store.ts";
import type { Store } from "./store/store.ts";

/** @throws Error with a sentence that says what to do, where the database can't be used with these master keys. */
export async function openKeyStore(options: StoreOptions & { readonly hierarchy: KeyHierarchy }): Promise<Store> {
  const { hierarchy } = options;
  const store = await openStore(options);
  try {
    const check = await store.setting(MASTER_KEY_CHECK);
    if (hierarchy.checkedBy(check) !== undefined) return store;
    if (check === undefined) {
      // A new database; or another Core's, which began at the same moment.
      const made = await store.change(async (change) => {
        const known = await change.setting(MASTER_KEY_CHECK);
        if (known === undefined) await change.setSetting(MASTER_KEY_CHECK, hierarchy.newCheck());
        return known === undefined || hierarchy.checkedBy(known) !== undefined;
      });
      if (made) return store;
    }
    throw new Error(`the master key does not fit the database ${store.name}: give the key that it was made with`);
  } catch (error) {
    await store.close();
    throw error;
  }
}
