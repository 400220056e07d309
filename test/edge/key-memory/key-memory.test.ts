import { afterEach, describe, expect, test } from "bun:test";
import { inspect } from "node:util";
import { SERVICE_KEY_BYTES } from "../../../src/base/service-key.ts";
import { loadSystemCalls, type SystemCalls } from "../../../src/base/system/system-calls.ts";
import type { KeyMemory, KeyMemoryChoice, KeyMemoryKind } from "../../../src/edge/key-memory/key-memory.ts";
import { openKeyMemory } from "../../../src/edge/key-memory/open-key-memory.ts";
import { hasSecretMemory } from "../../support/secret-memory.ts";

const opened: KeyMemory[] = [];
const warnings: string[] = [];
afterEach(() => {
  for (const memory of opened.splice(0)) memory.close();
  warnings.splice(0);
});

async function open(choice: KeyMemoryChoice, expectedKeys = 1): Promise<KeyMemory> {
  const memory = await openKeyMemory({ choice, expectedKeys, warn: (message) => warnings.push(message) });
  opened.push(memory);
  return memory;
}

const key = (fill: number): Uint8Array => new Uint8Array(SERVICE_KEY_BYTES).fill(fill);
const copy = (view: Uint8Array): number[] => [...view];
const kinds: KeyMemoryKind[] = hasSecretMemory ? ["secret", "locked", "heap"] : ["locked", "heap"];

describe.each(kinds)("key memory of kind %s", (kind) => {
  test("gives back the key that was stored, and keeps its own copy", async () => {
    const memory = await open(kind);
    const original = key(7);
    const slot = memory.store(original);
    original.fill(0);
    expect(slot.use(copy)).toEqual([...key(7)]);
    expect(memory.stats).toMatchObject({ kind, keys: 1, heapKeys: kind === "heap" ? 1 : 0 });
  });

  test("wipes a key when it is released, and refuses it from then on", async () => {
    const memory = await open(kind);
    const slot = memory.store(key(7));
    let place: Uint8Array | undefined;
    slot.use((view) => {
      place = view;
    });
    slot.release();
    slot.release();
    expect([...place!]).toEqual([...key(0)]);
    expect(slot.released).toBe(true);
    expect(() => slot.use(copy)).toThrow("released");
    expect(memory.stats.keys).toBe(0);
  });

  test("hands a released slot out again, once, and not to its former holder", async () => {
    const memory = await open(kind);
    const first = memory.store(key(1));
    first.release();
    const second = memory.store(key(2));
    const third = memory.store(key(3));
    first.release();
    expect(second.use(copy)).toEqual([...key(2)]);
    expect(third.use(copy)).toEqual([...key(3)]);
    expect(() => first.use(copy)).toThrow("released");
    expect(memory.stats.keys).toBe(2);
  });

  // 1.6 MB: whoever runs this may lock 8 MB, as Debian has it for those who are not root.
  test("keeps 50,000 keys apart, and takes no more memory for the next 50,000", async () => {
    const memory = await open(kind, 1000);
    const round = (): number => {
      const bytes = new Uint8Array(SERVICE_KEY_BYTES);
      const number = new DataView(bytes.buffer);
      const slots = Array.from({ length: 50_000 }, (_, index) => {
        number.setUint32(0, index);
        number.setUint32(28, ~index);
        return memory.store(bytes);
      });
      const wrong = slots.filter((slot, index) =>
        slot.use((view) => {
          const stored = new DataView(view.buffer, view.byteOffset);
          return stored.getUint32(0) !== index || stored.getUint32(28) !== ~index >>> 0;
        }),
      );
      for (const slot of slots) slot.release();
      return wrong.length;
    };
    expect(round()).toBe(0);
    const { mappedBytes } = memory.stats;
    expect(round()).toBe(0);
    expect(memory.stats).toMatchObject({ keys: 0, mappedBytes });
    expect(mappedBytes).toBeLessThan(2 * 50_000 * SERVICE_KEY_BYTES);
  });

  test("closes: slots count as released, views are empty, nothing crashes", async () => {
    const memory = await open(kind);
    const slot = memory.store(key(7));
    let place: Uint8Array | undefined;
    slot.use((view) => {
      place = view;
    });
    memory.close();
    memory.close();
    expect(place).toHaveLength(0);
    expect(() => slot.use(copy)).toThrow("released");
    slot.release();
    expect(() => memory.store(key(8))).toThrow("closed");
  });

  test("takes keys of 32 bytes only", async () => {
    const memory = await open(kind);
    expect(() => memory.store(new Uint8Array(31))).toThrow("32 bytes");
    expect(memory.stats.keys).toBe(0);
  });

  test("shows no key when a slot is printed", async () => {
    const memory = await open(kind);
    const slot = memory.store(key(0xab));
    for (const text of [inspect(slot, { depth: 9, showHidden: true }), JSON.stringify({ slot, memory }), `${slot}`]) {
      expect(text).not.toMatch(/ab|171/);
    }
  });
});

test("warns when keys are on the heap, and not when they are in secret memory", async () => {
  await open("heap");
  expect(warnings.join()).toContain("on the heap");
  warnings.splice(0);
  await open(kinds[0]!);
  expect(warnings).toEqual([]);
});

describe.skipIf(process.platform !== "linux")("choosing the kind", () => {
  async function machine(changes: Partial<SystemCalls>) {
    const system = await loadSystemCalls();
    if (system.calls === undefined) throw new Error(system.reason);
    return { calls: { ...system.calls, ...changes } };
  }
  const options = (choice: KeyMemoryChoice) => ({
    choice,
    expectedKeys: 1,
    warn: (message: string) => void warnings.push(message),
  });

  test.skipIf(!hasSecretMemory)("takes secret memory where the kernel has it", async () => {
    expect((await open("auto")).kind).toBe("secret");
  });

  test("takes locked memory, with a warning, where the kernel lacks memfd_secret", async () => {
    const memory = await openKeyMemory(options("auto"), await machine({ memfdSecret: () => -1 }));
    opened.push(memory);
    expect(memory.kind).toBe("locked");
    expect(memory.store(key(3)).use(copy)).toEqual([...key(3)]);
    expect(warnings.join()).toContain("memfd_secret");
  });

  test("takes the heap, with a warning, where nothing can be locked", async () => {
    const memory = await openKeyMemory(options("auto"), await machine({ memfdSecret: () => -1, mlock: () => -1 }));
    opened.push(memory);
    expect(memory.kind).toBe("heap");
    expect(warnings.join()).toContain("on the heap");
  });

  test("takes the heap, with a warning, where libc can't be called", async () => {
    const memory = await openKeyMemory(options("auto"), { calls: undefined, reason: "libc is missing" });
    opened.push(memory);
    expect(memory.kind).toBe("heap");
    expect(warnings.join()).toContain("libc is missing");
  });

  test("refuses to open when the kind asked for by name is missing", async () => {
    const lacking = await machine({ memfdSecret: () => -1 });
    expect(openKeyMemory(options("secret"), lacking)).rejects.toMatchObject({ code: "unavailable" });
    const none = { calls: undefined, reason: "libc is missing" };
    expect(openKeyMemory(options("locked"), none)).rejects.toThrow("libc is missing");
  });
});
