/** The least around an orchestrator that a bench needs: everything allowed, nothing counted, one lease always held. */
import type { AccessPolicy } from "../../src/access/access-policy.ts";
import type { Principal } from "../../src/access/principal.ts";
import type { LeaseCache, LeasedVersion } from "../../src/cache/lease-cache.ts";
import { createAesGcmCipher } from "../../src/cipher/aes-gcm.ts";
import type { Cipher, ServiceKeyReader, WrappingSession } from "../../src/cipher/cipher.ts";
import type { UsageRecorder } from "../../src/usage/usage-recorder.ts";

export const PRINCIPAL: Principal = { kind: "listener", name: "bench" };

export const allowAll: AccessPolicy = { authorize: () => undefined };

export const ignoreUsage: UsageRecorder = { record: () => undefined };

/** Answers every question with one version of `tenant-a`'s `billing`, under a key made up here unless one is given. */
export function heldLeases(serviceKey = madeUpKey()): LeaseCache & { begin(cipher: Cipher): WrappingSession } {
  const identity = { tenant: "tenant-a", service: "billing", version: 3 };
  const begin = (cipher: Cipher) => cipher.begin(identity, serviceKey);
  const held: LeasedVersion = { ...identity, state: "active", session: begin(createAesGcmCipher()) };
  return { active: () => held, version: () => held, leases: () => [], close: () => held.session.wipe(), begin };
}

function madeUpKey(): ServiceKeyReader {
  const key = crypto.getRandomValues(new Uint8Array(32));
  return { use: (reader) => reader(key) };
}
