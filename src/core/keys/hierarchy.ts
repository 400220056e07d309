/**
 * The key hierarchy: the master key wraps each tenant's key (L2) and the Core's signing keys; L2 wraps the service keys
 * (L3). While the master key is being rotated there are two; the store says which one wraps what is new.
 */
import { createHmac, randomBytes } from "node:crypto";
import { wipe } from "../../base/wipe.ts";
import type { StoreReader } from "../store/store.ts";
import { type KeyName, unwrapKey, wrapKey } from "./envelope.ts";

const KEY_BYTES = 32;
const CHECK = Buffer.from("crypto-edge core");
/** The setting that tells which master key is the store's: a known text under it. */
export const MASTER_KEY_CHECK = "check";

export class KeyHierarchy {
  /** The configured one first. */
  readonly #masterKeys: readonly Uint8Array[];

  /** 32 bytes each. Copied: the caller wipes its own. */
  constructor(masterKey: Uint8Array, formerMasterKey?: Uint8Array) {
    const keys = formerMasterKey === undefined ? [masterKey] : [masterKey, formerMasterKey];
    if (keys.some((key) => key.length !== KEY_BYTES)) throw new RangeError("the master key must have 32 bytes");
    this.#masterKeys = keys.map((key) => Uint8Array.from(key));
  }

  /** Names of the master keys, for other Cores and logs; nothing about the keys can be learned from them. */
  get masterKeyIds(): string[] {
    return this.#masterKeys.map((key) =>
      createHmac("sha256", key).update("crypto-edge core master key id").digest("hex").slice(0, 16),
    );
  }

  /** The text that `checkedBy` recognises, under the configured master key. */
  newCheck(): Uint8Array {
    return wrapKey(this.#masterKeys[0]!, [MASTER_KEY_CHECK], CHECK);
  }

  /** Which of the master keys a store's check was made with; undefined where none. */
  checkedBy(check: Uint8Array | undefined): number | undefined {
    if (check === undefined) return undefined;
    const index = this.#masterKeys.findIndex((key) => {
      try {
        return CHECK.equals(unwrapKey(key, [MASTER_KEY_CHECK], check));
      } catch {
        return false;
      }
    });
    return index === -1 ? undefined : index;
  }

  /** Wraps under the master key that the store's check names. @throws Error where this Core doesn't have it. */
  async wrap(store: StoreReader, name: KeyName, secret: Uint8Array): Promise<Uint8Array> {
    const index = this.checkedBy(await store.setting(MASTER_KEY_CHECK));
    if (index === undefined) {
      throw new Error(
        "the store's master key was rotated and this Core lacks the new one: put it in its configuration",
      );
    }
    return wrapKey(this.#masterKeys[index]!, name, secret);
  }

  /** Opens what the master key wraps. The result is the caller's, who wipes it. */
  unwrap(name: KeyName, wrapped: Uint8Array): Uint8Array {
    let failure: unknown;
    for (const key of this.#masterKeys) {
      try {
        return unwrapKey(key, name, wrapped);
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  /** `wrapped` under the configured master key; undefined where it is already. */
  rewrap(name: KeyName, wrapped: Uint8Array): Uint8Array | undefined {
    const [current, ...former] = this.#masterKeys;
    try {
      wipe(unwrapKey(current!, name, wrapped));
      return undefined;
    } catch {
      for (const key of former) {
        const secret = unwrapKey(key, name, wrapped);
        try {
          return wrapKey(current!, name, secret);
        } finally {
          wipe(secret);
        }
      }
      throw new Error(`${name[0]} is under neither of the master keys`);
    }
  }

  /**
   * 32 bytes that every Core with this master key has, and nobody else: for what they must recognise of one another. The result is the
   * caller's, who wipes it.
   */
  sharedSecret(purpose: string): Uint8Array {
    return createHmac("sha256", this.#masterKeys[0]!).update(`crypto-edge core shared secret: ${purpose}`).digest();
  }

  /** A new L2 for a tenant, wrapped. */
  newTenantKey(store: StoreReader, tenant: string): Promise<Uint8Array> {
    const key = randomBytes(KEY_BYTES);
    return this.wrap(store, ["l2", tenant], key).finally(() => wipe(key));
  }

  /** A new L3 under a tenant's wrapped L2. */
  newServiceKey(wrappedTenantKey: Uint8Array, tenant: string, service: string, version: number): Uint8Array {
    const l2 = this.unwrap(["l2", tenant], wrappedTenantKey);
    const l3 = randomBytes(KEY_BYTES);
    try {
      return wrapKey(l2, ["l3", tenant, service, String(version)], l3);
    } finally {
      wipe(l2);
      wipe(l3);
    }
  }

  /** The service keys of one tenant's service, in the order given. The results are the caller's, who wipes them. */
  openServiceKeys(
    wrappedTenantKey: Uint8Array,
    tenant: string,
    service: string,
    wrapped: readonly { readonly version: number; readonly wrappedKey: Uint8Array }[],
  ): Uint8Array[] {
    const l2 = this.unwrap(["l2", tenant], wrappedTenantKey);
    try {
      return wrapped.map((one) => unwrapKey(l2, ["l3", tenant, service, String(one.version)], one.wrappedKey));
    } finally {
      wipe(l2);
    }
  }

  wipe(): void {
    for (const key of this.#masterKeys) wipe(key);
  }
}
