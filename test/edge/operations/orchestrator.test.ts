import { describe, expect, test } from "bun:test";
import { CryptoEdgeError } from "../../../src/base/errors.ts";
import type { Principal } from "../../../src/edge/access/principal.ts";
import type { LeaseCache, LeasedVersion } from "../../../src/edge/cache/lease-cache.ts";
import { createAesGcmCipher } from "../../../src/edge/cipher/aes-gcm.ts";
import { type CreateKeyRequest, createOrchestrator } from "../../../src/edge/operations/orchestrator.ts";

const PRINCIPAL: Principal = { kind: "listener", name: "local" };
const KEY: CreateKeyRequest = { tenant: "tenant-a", service: "billing", plaintext: true };

/** The lease as the cache would hold it: it can end, and the active version can move on, between two turns. */
function leaseThatChanges() {
  const dataKeys: Uint8Array[] = [];
  const asked: (number | "active")[] = [];
  let revoked = false;
  const version = (number: number): LeasedVersion => {
    const identity = { tenant: "tenant-a", service: "billing", version: number };
    const serviceKey = new Uint8Array(32).fill(number);
    const session = createAesGcmCipher().begin(identity, { use: (reader) => reader(serviceKey) });
    const wrap = session.wrap.bind(session);
    return {
      ...identity,
      state: "active",
      session: Object.assign(session, {
        wrap(dataKey: Uint8Array, context: Uint8Array) {
          dataKeys.push(dataKey);
          return wrap(dataKey, context);
        },
      }),
    };
  };
  const leases: LeaseCache = {
    active() {
      asked.push("active");
      return version(1);
    },
    version(_tenant, _service, number) {
      asked.push(number);
      if (revoked) throw new CryptoEdgeError("key_revoked", "It was revoked.");
      return version(number);
    },
    close() {},
  };
  const revoke = (): void => {
    revoked = true;
  };
  return { leases, dataKeys, asked, revoke };
}

function orchestratorOn(leases: LeaseCache) {
  const authorized: number[] = [];
  const recorded: string[] = [];
  const orchestrator = createOrchestrator({
    access: { authorize: (_principal, _operation, _tenant, _service, count = 1) => void authorized.push(count) },
    leases,
    usage: {
      record: ({ operation, count }, outcome, version) =>
        void recorded.push(`${operation} ${outcome} v${version} x${count}`),
    },
  });
  return { orchestrator, authorized, recorded };
}

describe("a batch of more keys than one turn makes", () => {
  test("is judged and counted once, and has one version", async () => {
    const lease = leaseThatChanges();
    const { orchestrator, authorized, recorded } = orchestratorOn(lease.leases);
    const keys = await orchestrator.createKeys(PRINCIPAL, KEY, 2_500);
    expect(keys).toHaveLength(2_500);
    expect(new Set(keys.map(({ version }) => version))).toEqual(new Set([1]));
    expect(authorized).toEqual([2_500]);
    expect(recorded).toEqual(["create ok v1 x2500"]);
    // The lease is looked up anew at each turn, by its version.
    expect(lease.asked).toEqual(["active", 1, 1]);
  });

  test("gives no key when the version is revoked between two turns, and wipes those made", async () => {
    const lease = leaseThatChanges();
    const { orchestrator, recorded } = orchestratorOn(lease.leases);
    const batch = orchestrator.createKeys(PRINCIPAL, KEY, 2_500);
    lease.revoke();
    expect(batch).toBeInstanceOf(Promise);
    await expect(batch as Promise<unknown>).rejects.toMatchObject({ code: "key_revoked" });
    expect(recorded).toEqual(["create key_revoked v0 x2500"]);
    expect(lease.dataKeys).toHaveLength(1_000);
    for (const dataKey of lease.dataKeys) expect(dataKey.every((byte) => byte === 0)).toBe(true);
  });

  test("up to a turn's keys are made at once, without a promise", () => {
    const { orchestrator } = orchestratorOn(leaseThatChanges().leases);
    expect(orchestrator.createKeys(PRINCIPAL, KEY, 1_000)).toHaveLength(1_000);
  });
});
