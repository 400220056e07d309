import { expect, test } from "bun:test";
import { OperationError } from "../../../src/base/errors.ts";
import type { AccessPolicy } from "../../../src/edge/access/access-policy.ts";
import type { Principal } from "../../../src/edge/access/principal.ts";
import type { LeaseCache, LeaseControl, LeasedVersion } from "../../../src/edge/cache/lease-cache.ts";
import { type KeySource, KeySourceError } from "../../../src/edge/key-source/key-source.ts";
import type { Caller, CreatedKey, EncryptedValue, Opened } from "../../../src/edge/operations/operations.ts";
import { createOperations, type PipelineParts } from "../../../src/edge/operations/pipeline.ts";
import { HookRunner, type RegisteredHooks } from "../../../src/edge/plugin-host/hook-runner.ts";
import { withLeaseHooks, withRevocationHooks } from "../../../src/edge/plugin-host/hooked-leases.ts";
import { createOperationHooks } from "../../../src/edge/plugin-host/hooked-operations.ts";
import { type Hooks, refuse } from "../../../src/edge/plugin-host/hooks.ts";
import type { PluginLog } from "../../../src/edge/plugin-host/plugin.ts";
import { nodeCipher } from "../../support/ciphers.ts";
import { settle, VirtualClock } from "../../support/virtual-clock.ts";

const PRINCIPAL: Principal = { kind: "listener", name: "billing" };
const CALLER: Caller = { principal: PRINCIPAL, door: "native", requestId: undefined };
const REQUEST = { tenant: "tenant-a", service: "billing", plaintext: true } as const;

function world(hooks: Hooks | readonly Hooks[], settings: Partial<RegisteredHooks> = {}) {
  const clock = new VirtualClock();
  const lines: string[] = [];
  const write = (_fields: unknown, message: string): void => void lines.push(message);
  const log: PluginLog = { info: write, warn: write, error: write };
  const runner = new HookRunner(
    (Array.isArray(hooks) ? (hooks as Hooks[]) : [hooks as Hooks]).map((each, index) => ({
      name: `hook-${index}`,
      hooks: each,
      onFailure: "refuse",
      timeoutMs: 100,
      ...settings,
    })),
    clock,
    log,
  );
  const key = new Uint8Array(32).fill(9);
  const session = nodeCipher().begin(
    { tenant: "tenant-a", service: "billing", version: 3 },
    { use: (reader) => reader(key) },
  );
  const leased: LeasedVersion = { tenant: "tenant-a", service: "billing", version: 3, state: "active", session };
  const asked: string[] = [];
  const leases = {
    active: () => {
      asked.push("active");
      return leased;
    },
    version: () => leased,
  } as unknown as LeaseCache;
  const denied = { is: false };
  const authorize = (): void => {
    if (denied.is) throw new OperationError("access_denied", "No.");
  };
  const access: AccessPolicy = { authorize, authorizeAny: authorize, namedServices: () => [] };
  const records: string[] = [];
  const parts: PipelineParts = {
    access,
    leases,
    recorder: {
      now: () => 0,
      record: ({ operation }, _caller, _key, version, _count, outcome) =>
        void records.push(`${operation} ${outcome} ${version}`),
      took() {},
    },
  };
  const operations = createOperations({ ...parts, hooks: createOperationHooks(runner) });
  return { clock, lines, runner, operations, parts, asked, denied, records, session };
}

function refusalOf(call: () => unknown): OperationError {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(OperationError);
    return error as OperationError;
  }
  throw new Error("nothing was refused");
}

test("hooks see each operation in order, with who, what and which version, and nothing of a key, a blob or a context", () => {
  const seen: [string, object][] = [];
  const see = (point: string) => (event: object) => void seen.push([point, event]);
  const { operations } = world({
    beforeCreate: see("beforeCreate"),
    afterCreate: see("afterCreate"),
    beforeDecrypt: see("beforeDecrypt"),
    afterDecrypt: see("afterDecrypt"),
  });
  const context = { field: "the context" };
  const { wrapped } = operations.createKey(CALLER, { ...REQUEST, context, length: 64 }) as CreatedKey;
  operations.decryptKey(CALLER, { wrapped, context });
  operations.rewrap(CALLER, { wrapped, context });
  operations.createKeys(CALLER, { ...REQUEST, take() {} }, 5);

  const principal = { kind: "listener", name: "billing" };
  const who = { principal, door: "native", tenant: "tenant-a", service: "billing" } as const;
  const create = { ...who, operation: "create", length: 64, count: 1, plaintext: true };
  const decrypt = { ...who, operation: "decrypt", version: 3, content: "data_key" };
  const rewrap = { ...who, operation: "rewrap", version: 3, content: "data_key" };
  const batch = { ...create, length: 32, count: 5 };
  expect(seen).toEqual([
    ["beforeCreate", create],
    ["afterCreate", { ...create, version: 3 }],
    ["beforeDecrypt", decrypt],
    ["afterDecrypt", decrypt],
    ["beforeDecrypt", rewrap],
    ["afterDecrypt", rewrap],
    ["beforeCreate", batch],
    ["afterCreate", { ...batch, version: 3 }],
  ]);
});

test("without a hook at any point of an operation the pipeline has no hooks", () => {
  expect(createOperationHooks(world({ onLease() {}, onRevocation() {} }).runner)).toBeUndefined();
  expect(createOperationHooks(world({ onDenied() {} }).runner)).toBeDefined();
});

test("with hooks that answer at once every answer is still a value, not a promise", () => {
  const { operations } = world({ beforeCreate() {}, afterCreate() {}, beforeDecrypt() {}, afterDecrypt() {} });
  const created = operations.createKey(CALLER, REQUEST);
  expect(created).not.toBeInstanceOf(Promise);
  const { wrapped } = created as CreatedKey;
  expect(operations.decryptKey(CALLER, { wrapped })).not.toBeInstanceOf(Promise);
  expect(operations.rewrap(CALLER, { wrapped })).not.toBeInstanceOf(Promise);
  expect(operations.decryptKeys(CALLER, [{ wrapped }], () => {})).not.toBeInstanceOf(Promise);
});

test("hooks see values by their length alone, and a refusal after keeps the blob back", () => {
  const seen: unknown[] = [];
  let refuses = false;
  const { operations, records } = world({
    beforeEncrypt: (event) => void seen.push(event),
    afterEncrypt(event) {
      seen.push(event);
      return refuses ? refuse("no", "No.") : undefined;
    },
    beforeDecrypt: (event) => void seen.push(event),
  });
  const { tenant, service } = REQUEST;
  const value = new TextEncoder().encode("a secret of the caller's");
  const encrypted = operations.encryptValue(CALLER, { tenant, service, value }) as EncryptedValue;
  operations.decryptValue(CALLER, encrypted);
  refuses = true;
  expect(refusalOf(() => operations.encryptValue(CALLER, { tenant, service, value })).code).toBe("refused_by_hook");
  const who = { principal: { kind: "listener", name: "billing" }, door: "native", tenant, service };
  const encrypt = { ...who, operation: "encrypt", length: 24 };
  const encryptedAt = { ...encrypt, version: 3 };
  const opened = { ...who, operation: "decrypt", version: 3, content: "value" };
  expect(seen).toEqual([encrypt, encryptedAt, opened, encrypt, encryptedAt]);
  expect(records).toEqual(["encrypt ok 3", "decrypt ok 3", "encrypt refused_by_hook 0"]);
});

test("an asynchronous hook makes only its own operation asynchronous", async () => {
  const { operations } = world({ beforeCreate: async () => {} });
  const created = operations.createKey(CALLER, REQUEST);
  expect(created).toBeInstanceOf(Promise);
  const { wrapped, plaintext } = await created;
  expect((operations.decryptKey(CALLER, { wrapped }) as Opened).plaintext).toEqual(plaintext!);
});

test("a refusal before ends the operation with the hook's code and sentence, before any lease is asked for", () => {
  const { operations, asked, records } = world({ beforeCreate: () => refuse("tenant_closed", "Open it first.") });
  const error = refusalOf(() => operations.createKey(CALLER, REQUEST));
  expect(error.code).toBe("refused_by_hook");
  expect(error.message).toBe("Open it first. (hook-0: tenant_closed)");
  expect(asked).toEqual([]);
  expect(records).toEqual(["create refused_by_hook 0"]);
});

test("a refusal after wipes the keys that were made, and is what usage is told", () => {
  const { operations, records, session } = world({ afterCreate: () => refuse("no", "No.") });
  const made: Uint8Array[] = [];
  const { createKey } = session;
  session.createKey = (length, context, plaintext) => {
    made.push(plaintext!);
    return createKey.call(session, length, context, plaintext);
  };
  refusalOf(() => operations.createKey(CALLER, { ...REQUEST, plaintext: true }));
  const take = (_wrapped: Uint8Array, plaintext: Uint8Array | undefined): void => void made.push(plaintext!);
  refusalOf(() => operations.createKeys(CALLER, { ...REQUEST, plaintext: true, take }, 3));
  expect(made).toHaveLength(1 + 3);
  expect(made.every((bytes) => bytes.every((byte) => byte === 0))).toBe(true);
  expect(records).toEqual(["create refused_by_hook 0", "create refused_by_hook 0"]);
});

test("the policy is asked before any hook, and a denial is told to onDenied", () => {
  const seen: unknown[] = [];
  const { operations, denied } = world({
    beforeCreate: () => void seen.push("asked"),
    onDenied: (e) => void seen.push(e),
  });
  denied.is = true;
  expect(refusalOf(() => operations.createKey(CALLER, REQUEST)).code).toBe("access_denied");
  expect(seen).toEqual([
    {
      principal: { ...PRINCIPAL },
      door: "native",
      operation: "create",
      tenant: "tenant-a",
      service: "billing",
      code: "access_denied",
    },
  ]);
});

test("a blob that can't be read is recorded as without hooks, and no hook is asked about it", () => {
  let asked = 0;
  const { operations, parts, records } = world({ beforeDecrypt: () => void asked++ });
  const wrapped = new Uint8Array(5);
  for (const edge of [operations, createOperations(parts)]) {
    expect(refusalOf(() => edge.decryptKey(CALLER, { wrapped })).code).toBe("invalid_blob");
  }
  expect(records).toEqual(["decrypt invalid_blob 0", "decrypt invalid_blob 0"]);
  expect(asked).toBe(0);
});

test("in a batch of decryptions each item is judged by itself", () => {
  let calls = 0;
  const { operations } = world({ beforeDecrypt: () => (calls++ === 1 ? refuse("second", "Not this.") : undefined) });
  const { wrapped } = operations.createKey(CALLER, REQUEST) as CreatedKey;
  const ends: string[] = [];
  operations.decryptKeys(
    CALLER,
    [{ wrapped }, { wrapped }, { wrapped }],
    (result) => void ends.push(result instanceof OperationError ? result.code : "key"),
  );
  expect(ends).toEqual(["key", "refused_by_hook", "key"]);
});

test("a hook can't change the event for the next one, nor the principal for the next request", () => {
  const { operations, runner } = world([
    { beforeCreate: (event) => void Object.assign(event, { tenant: "tenant-b" }) },
    { beforeCreate: (event) => void Object.assign(event.principal, { name: "admin" }) },
  ]);
  refusalOf(() => operations.createKey(CALLER, REQUEST));
  expect(runner.counters[0]!.threw).toBe(1);
  expect(PRINCIPAL.name).toBe("billing");
});

for (const onFailure of ["refuse", "allow"] as const) {
  const expected = onFailure === "refuse" ? "refused_by_hook" : "ok";

  test(`a hook that throws is contained and counted; on_failure: ${onFailure}`, async () => {
    for (const beforeCreate of [
      () => {
        throw new Error("bug");
      },
      async () => {
        throw new Error("bug");
      },
      () => "yes" as never,
      () => refuse("Not A Code", "x"),
    ]) {
      const { operations, records, runner, lines } = world({ beforeCreate }, { onFailure });
      await (async () => operations.createKey(CALLER, REQUEST))().catch(() => {});
      expect(records.map((record) => record.split(" ")[1])).toEqual([expected]);
      expect(runner.counters[0]).toMatchObject({ threw: 1, refused: 0, open: 0 });
      expect(lines).toHaveLength(1);
    }
  });

  test(`a hook that hangs is given its time and no more; on_failure: ${onFailure}`, async () => {
    const { operations, clock, records, runner } = world(
      { beforeCreate: () => new Promise<undefined>(() => {}) },
      { onFailure },
    );
    const created = Promise.resolve(operations.createKey(CALLER, REQUEST)).catch((error: unknown) => error);
    await clock.advance(99);
    expect(records).toEqual([]);
    await clock.advance(1);
    await created;
    expect(records.map((record) => record.split(" ")[1])).toEqual([expected]);
    expect(runner.counters[0]).toMatchObject({ late: 1, open: 1 });
  });
}

test("a hook that floods is not called while a thousand of its calls are open, and is again afterwards", async () => {
  const release: (() => void)[] = [];
  const { operations, runner } = world({ beforeCreate: () => new Promise<void>((resolve) => release.push(resolve)) });
  const calls = Array.from({ length: 1_000 }, async () => operations.createKey(CALLER, REQUEST));
  expect(refusalOf(() => operations.createKey(CALLER, REQUEST)).message).toContain("hook_failed");
  expect(runner.counters[0]).toMatchObject({ overloaded: 1, open: 1_000 });
  for (const resolve of release.splice(0)) resolve();
  await Promise.all(calls);
  expect(runner.counters[0]!.open).toBe(0);
  void operations.createKey(CALLER, REQUEST);
  expect(release).toHaveLength(1);
});

test("a hook that keeps failing logs a line a second, and says how many it left out", async () => {
  const { operations, clock, lines } = world({
    beforeCreate: () => {
      throw new Error("bug\nwith \u001b[31mlines");
    },
  });
  for (let call = 0; call < 500; call++) refusalOf(() => operations.createKey(CALLER, REQUEST));
  expect(lines).toEqual(["a hook failed: it threw: bug with  [31mlines"]);
  await clock.advance(1_000);
  refusalOf(() => operations.createKey(CALLER, REQUEST));
  expect(lines).toHaveLength(2);
});

function sourceOf(): { source: KeySource; key: Uint8Array } {
  const key = new Uint8Array(32).fill(5);
  const source: KeySource = {
    name: "source",
    lease: async ({ tenant, service }) => ({
      tenant,
      service,
      ttlMs: 1_000,
      refreshAfterMs: 500,
      log: undefined,
      revocationSeq: 0,
      versions: [{ version: 1, state: "active", key }],
    }),
    close: async () => {},
  };
  return { source, key };
}

test("onLease sees the lease without its keys; a refusal wipes them and counts as the source's", async () => {
  const seen: object[] = [];
  const { runner } = world({
    onLease(event) {
      seen.push(event);
      return refuse("night", "Ask in the morning.");
    },
  });
  const { source, key } = sourceOf();
  const lease = withLeaseHooks(source, runner).lease(REQUEST, new AbortController().signal);
  await expect(lease).rejects.toMatchObject({ code: "edge_not_allowed", message: expect.stringContaining("night") });
  expect(key.every((byte) => byte === 0)).toBe(true);
  expect(seen).toEqual([
    {
      source: "source",
      tenant: "tenant-a",
      service: "billing",
      versions: [{ version: 1, state: "active" }],
      ttlMs: 1_000,
    },
  ]);
});

test("an onLease hook that fails is like a source that is away: a lease that is held goes on", async () => {
  const { runner } = world({
    onLease() {
      throw new Error("bug");
    },
  });
  const lease = withLeaseHooks(sourceOf().source, runner).lease(REQUEST, new AbortController().signal);
  await expect(lease).rejects.toBeInstanceOf(KeySourceError);
  await expect(lease).rejects.toMatchObject({ code: "unavailable" });
});

test("onRevocation is told after the keys are wiped, and nothing it does holds the revocation up", async () => {
  const order: unknown[] = [];
  const { runner } = world([
    {
      onRevocation(event) {
        order.push(event);
        return new Promise<void>(() => {});
      },
    },
    {
      onRevocation() {
        throw new Error("bug");
      },
    },
  ]);
  const control = { revoke: () => order.push("wiped") } as unknown as LeaseControl;
  expect(withRevocationHooks(control, runner).revoke({ tenant: "tenant-a", version: 1 })).toBe(1);
  expect(order).toEqual(["wiped", { scope: { tenant: "tenant-a", version: 1 }, wiped: 1 }]);
  await settle();
});
