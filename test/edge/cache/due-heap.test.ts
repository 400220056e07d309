import { expect, test } from "bun:test";
import { type Due, DueHeap } from "../../../src/edge/cache/due-heap.ts";
import { fc } from "../../support/properties.ts";

interface Item extends Due {
  readonly name: number;
}

test("gives what is due first, whatever was put in, moved and taken out before", () => {
  const step = fc.record({ name: fc.nat(20), dueMs: fc.nat(50), remove: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const heap = new DueHeap<Item>();
      const items = Array.from({ length: 21 }, (_, name): Item => ({ name, dueMs: 0, heapIndex: -1 }));
      const model = new Map<number, number>();
      for (const { name, dueMs, remove } of steps) {
        if (remove) {
          heap.delete(items[name]!);
          expect(items[name]!.heapIndex).toBe(-1);
          model.delete(name);
        } else {
          heap.set(items[name]!, dueMs);
          model.set(name, dueMs);
        }
        expect(heap.size).toBe(model.size);
        const first = model.size === 0 ? undefined : Math.min(...model.values());
        expect(heap.first()?.dueMs).toBe(first);
      }
      const drained: number[] = [];
      for (let item = heap.first(); item !== undefined; item = heap.first()) {
        drained.push(item.dueMs);
        heap.delete(item);
      }
      expect(drained).toEqual([...model.values()].sort((a, b) => a - b));
    }),
    { numRuns: 200 },
  );
});
