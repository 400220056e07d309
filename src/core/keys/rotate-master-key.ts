/**
 * Puts everything that the master key wraps under a new one, while Cores serve: each opens what is under either of its two
 * keys. Broken off at any point, it goes on where it was: what is under the new key already is left as it is.
 */
import { yieldToEventLoop } from "../../base/time/turns.ts";
import type { Store } from "../store/store.ts";
import { type KeyHierarchy, MASTER_KEY_CHECK } from "./hierarchy.ts";

export interface MasterKeyRotation {
  /** Tenants' keys and signing keys that this call has wrapped anew. */
  readonly rewrapped: number;
  /** Those that were under the new master key already. */
  readonly unchanged: number;
}

/** In one transaction, and so in one turn of the event loop: some milliseconds. */
const TENANTS_AT_ONCE = 100;

/** @throws Error where something is under neither of the Core's master keys; what was done before stays done. */
export async function rotateMasterKey(store: Store, hierarchy: KeyHierarchy): Promise<MasterKeyRotation> {
  // First: from here on every Core wraps what is new under the new key.
  await store.change(async (change) => {
    if (hierarchy.checkedBy(await change.setting(MASTER_KEY_CHECK)) !== 0) {
      await change.setSetting(MASTER_KEY_CHECK, hierarchy.newCheck());
    }
  });
  let rewrapped = 0;
  let unchanged = 0;
  for (let after = ""; ; ) {
    const last = await store.change(async (change) => {
      const tenants = await change.tenantKeys(after, TENANTS_AT_ONCE);
      for (const { tenant, wrappedKey } of tenants) {
        const wrapped = hierarchy.rewrap(["l2", tenant], wrappedKey);
        if (wrapped === undefined) unchanged++;
        else {
          await change.setTenantKey(tenant, wrapped);
          rewrapped++;
        }
      }
      return tenants.at(-1)?.tenant;
    });
    if (last === undefined) break;
    after = last;
    await yieldToEventLoop();
  }
  await store.change(async (change) => {
    for (const { kid, wrappedPrivateKey } of await change.signingKeys()) {
      const wrapped = hierarchy.rewrap(["signing", kid], wrappedPrivateKey);
      if (wrapped === undefined) unchanged++;
      else {
        await change.setSigningKey(kid, wrapped);
        rewrapped++;
      }
    }
  });
  await store.erase();
  return { rewrapped, unchanged };
}
