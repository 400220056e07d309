/** A process of its own that makes one change and kills itself at the given call of the store within it; 0 is after the commit. */

import { KeyRegistry } from "../../../src/core/keys/registry.ts";
import type { Store, StoreChange } from "../../../src/core/store/store.ts";
import { openRegistry } from "./registry.ts";

const [database = "", masterKeyHex = "", step = "0"] = process.argv.slice(2);
const opened = await openRegistry({
  database: database.startsWith("{") ? JSON.parse(database) : database,
  masterKey: Buffer.from(masterKeyHex, "hex"),
});
const die = (): never => {
  process.kill(process.pid, "SIGKILL");
  throw new Error("unreachable");
};
let calls = 0;
const counted = (change: StoreChange): StoreChange =>
  new Proxy(change, {
    get: (target, name) => {
      const member = Reflect.get(target, name) as unknown;
      if (typeof member !== "function") return member;
      return async (...parameters: unknown[]) => {
        const result: unknown = await member.apply(target, parameters);
        if (++calls === Number(step)) die();
        return result;
      };
    },
  });
const store: Store = Object.create(opened.store, {
  change: {
    value: <T>(body: (change: StoreChange) => Promise<T>) => opened.store.change((change) => body(counted(change))),
  },
});
const registry = new KeyRegistry({
  store,
  hierarchy: opened.hierarchy,
  now: Date.now,
  onCommitted: async () => void (Number(step) === 0 && die()),
});
const { versions } = (await registry.services("tenant-a"))[0]!;
const active = versions.find(({ state }) => state === "active")!;
await registry.revoke({ tenant: "tenant-a", service: "billing", version: active.version }, "compromised", "test", {
  rotate: true,
});
// There are fewer calls than that.
console.log(calls);
process.exit(0);
