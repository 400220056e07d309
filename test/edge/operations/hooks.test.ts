import { describe, expect, test } from "bun:test";
import { OperationError } from "../../../src/base/errors.ts";
import type { CreatedKey, EncryptedValue } from "../../../src/edge/operations/operations.ts";
import { CALLER, createWorld, isWiped, NAME, refusal } from "./world.ts";

describe("a hook", () => {
  test("learns what is asked, never a key: who, which key and version, how many, how long, of what content", () => {
    const { operations, hooks } = createWorld();
    const { wrapped } = operations.createKey(CALLER, { ...NAME, length: 64, plaintext: true }) as CreatedKey;
    operations.createKeys(CALLER, { ...NAME, take() {} }, 3);
    const value = new Uint8Array(5).fill(1);
    const encrypted = operations.encryptValue(CALLER, { ...NAME, value }) as EncryptedValue;
    operations.decryptKey(CALLER, { wrapped });
    operations.rewrap(CALLER, encrypted);
    const asked = { ...NAME, caller: CALLER, version: 0, count: 1, plaintext: false };
    expect(hooks.events).toEqual([
      { ...asked, operation: "create", length: 64, plaintext: true, content: "data_key" },
      { ...asked, operation: "create", length: 32, count: 3, content: "data_key" },
      { ...asked, operation: "encrypt", length: 5, content: "value" },
      { ...asked, operation: "decrypt", version: 1, length: 0, content: "data_key" },
      { ...asked, operation: "rewrap", version: 1, length: 0, content: "value" },
    ]);
    expect(hooks.calls).toEqual(Array.from({ length: 5 }, () => ["before", "after v1"]).flat());
  });

  test("is not asked about a look at a key", () => {
    const { operations, hooks } = createWorld();
    operations.describeKey(CALLER, NAME);
    expect(hooks.calls).toEqual([]);
  });

  for (const [when, plan] of Object.entries({
    "at once": () => {
      throw refusal();
    },
    later: () => Promise.reject(refusal()),
  })) {
    test(`that refuses before the lease, ${when}, leaves nothing made, and hears of its refusal`, async () => {
      const { operations, hooks, plaintexts, recorded } = createWorld();
      hooks.plan.before = plan;
      const create = async () => operations.createKey(CALLER, { ...NAME, plaintext: true });
      await expect(create()).rejects.toMatchObject({ code: "refused_by_hook" });
      expect(plaintexts).toEqual([]);
      expect(hooks.calls).toEqual(["before", "denied create billing refused_by_hook"]);
      expect(recorded).toEqual(["create refused_by_hook v0 x1: A hook has refused it.", "took create refused_by_hook"]);
    });

    test(`that refuses after the cipher, ${when}, has the plaintext wiped, of keys made and of blobs opened`, async () => {
      const { operations, hooks, plaintexts } = createWorld();
      const { wrapped } = operations.createKey(CALLER, NAME) as CreatedKey;
      hooks.plan.after = plan;
      const asks = [
        async () => operations.createKey(CALLER, { ...NAME, plaintext: true }),
        async () => operations.createKeys(CALLER, { ...NAME, plaintext: true, take() {} }, 3),
        async () => operations.decryptKey(CALLER, { wrapped }),
        async () => operations.open(CALLER, { wrapped }),
      ];
      for (const ask of asks) await expect(ask()).rejects.toMatchObject({ code: "refused_by_hook" });
      expect(plaintexts).toHaveLength(1 + 3 + 1 + 1);
      for (const plaintext of plaintexts) expect(isWiped(plaintext)).toBe(true);
    });
  }

  test("that answers later holds the operation up, no more: the result is the same, with its lease held or not", async () => {
    for (const later of [false, true]) {
      const { operations, hooks, lease } = createWorld();
      hooks.plan.before = hooks.plan.after = async () => {};
      lease.later = later;
      const made = operations.createKey(CALLER, { ...NAME, plaintext: true });
      expect(made).toBeInstanceOf(Promise);
      const { wrapped, plaintext } = await made;
      expect(plaintext).toHaveLength(32);
      expect(isWiped(plaintext!)).toBe(false);
      expect(await operations.decryptKey(CALLER, { wrapped })).toMatchObject({ plaintext, ...NAME, version: 1 });
    }
  });

  test("hears of what a policy or a rate refuses, and of no other failure", () => {
    for (const code of ["access_denied", "rate_limited", "key_revoked"] as const) {
      const refuse = (): never => {
        throw new OperationError(code, "No.");
      };
      const world = createWorld({ access: { authorize: refuse, authorizeAny: refuse } as never });
      expect(() => world.operations.createKey(CALLER, NAME)).toThrow("No.");
      expect(world.hooks.calls).toEqual(code === "key_revoked" ? [] : [`denied create billing ${code}`]);
    }
  });
});
