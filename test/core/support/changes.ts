/** Every kind of change that a Core makes in its store, by name, over tenant-a/billing with version 1 compromised and 2 active. */
import { randomBytes } from "node:crypto";
import { KeyRegistry } from "../../../src/core/keys/registry.ts";
import { rotateMasterKey } from "../../../src/core/keys/rotate-master-key.ts";
import { SigningKeys } from "../../../src/core/signing-keys.ts";
import type { Store, StoreChange } from "../../../src/core/store/store.ts";
import type { OpenedRegistry } from "./registry.ts";

const BILLING = { tenant: "tenant-a", service: "billing" };
const once = { id: "governance 1", at: "2026-01-01T00:00:00.000Z" };

export const CHANGES: Readonly<Record<string, (opened: OpenedRegistry) => Promise<unknown>>> = {
  "a tenant": ({ registry }) => registry.createTenant("tenant-b"),
  "a service of a new tenant": ({ registry }) => registry.createService("tenant-b", "billing"),
  "a rotation": ({ registry }) => registry.rotate("tenant-a", "billing"),
  "a revocation with a rotation": ({ registry }) =>
    registry.revoke({ ...BILLING, version: 2 }, "compromised", "test", { rotate: true }),
  "a restoration": ({ registry }) => registry.restore({ ...BILLING, version: 1 }),
  "a service's destruction": ({ registry }) => registry.revoke(BILLING, "destroyed", "test"),
  "a tenant's destruction, ordered by another system": ({ registry }) =>
    registry.revoke({ tenant: "tenant-a" }, "destroyed", "test", { once }),
  "a new signing key": async ({ store, hierarchy }) =>
    (await SigningKeys.open({ store, hierarchy, now: Date.now })).roll(),
  "a new history": ({ store }) => store.change((change) => change.beginHistory(randomBytes(16).toString("hex"), 100)),
};

/** More than one change: broken off, it goes on. */
export const MASTER_KEY_ROTATION = "a rotation of the master key";

export async function makeChange(name: string, opened: OpenedRegistry): Promise<void> {
  if (name === MASTER_KEY_ROTATION) await rotateMasterKey(opened.store, opened.hierarchy);
  else await CHANGES[name]!(opened);
}

export async function prepare({ store, hierarchy, registry }: OpenedRegistry): Promise<void> {
  await registry.createService("tenant-a", "billing");
  await registry.createService("tenant-a", "mail");
  await registry.revoke({ ...BILLING, version: 1 }, "compromised", "test", { rotate: true });
  await SigningKeys.open({ store, hierarchy, now: Date.now });
}

/** All that the store holds of keys and events; what is wrapped, by what it opens to. */
export async function contentsOf({ store, hierarchy, registry }: OpenedRegistry): Promise<unknown> {
  const services: unknown[] = [];
  for (const { tenant } of await store.tenants()) {
    for (const one of await store.services(tenant)) {
      const lease = await registry.openVersions(tenant, one.service, undefined, 100).catch(String);
      const next = await store.nextVersion(tenant, one.service);
      services.push(one, lease, next, (await store.service(tenant, one.service))?.lost);
    }
  }
  return {
    position: await store.position(),
    events: await store.eventsAfter(0, 1_000),
    tenants: await store.tenants(),
    services,
    order: await store.change((change) => change.doneOrder(once.id)),
    signingKeys: (await store.signingKeys()).map(({ kid, retiredAt, wrappedPrivateKey }) => ({
      kid,
      retiredAt,
      key: Buffer.from(hierarchy.unwrap(["signing", kid], wrappedPrivateKey)).toString("hex"),
    })),
  };
}

/** The same keys over a store that calls `called` after each call within a change. */
export function watchCalls(opened: OpenedRegistry, called: () => void): OpenedRegistry {
  const watched = (change: StoreChange): StoreChange =>
    new Proxy(change, {
      get: (target, name) => {
        const member = Reflect.get(target, name) as unknown;
        if (typeof member !== "function") return member;
        return async (...parameters: unknown[]) => {
          const result: unknown = await member.apply(target, parameters);
          called();
          return result;
        };
      },
    });
  const store: Store = new Proxy(opened.store, {
    get: (target, name) => {
      if (name === "change")
        return <T>(body: (change: StoreChange) => Promise<T>) => target.change((one) => body(watched(one)));
      const member = Reflect.get(target, name, target) as unknown;
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
  const { hierarchy } = opened;
  const registry = new KeyRegistry({ store, hierarchy, now: Date.now, onCommitted: async () => undefined });
  return { ...opened, store, registry };
}
