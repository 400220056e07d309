import { expect, test } from "bun:test";
import { Lease, WHOLE_SERVICE } from "../../../src/edge/cache/lease.ts";
import { UsageOrder } from "../../../src/edge/cache/usage-order.ts";
import { fc } from "../../support/properties.ts";

test("lists the leases from the last used on, whatever was added, used and taken out before", () => {
  fc.assert(
    fc.property(fc.array(fc.record({ index: fc.nat(5), remove: fc.boolean() }), { maxLength: 60 }), (steps) => {
      const order = new UsageOrder();
      const leases = Array.from({ length: 6 }, (_, index) => new Lease("t", `service-${index}`, WHOLE_SERVICE));
      let model: Lease[] = [];
      for (const { index, remove } of steps) {
        const lease = leases[index]!;
        if (!model.includes(lease)) {
          if (remove) continue;
          order.add(lease);
        } else if (remove) order.delete(lease);
        else order.touch(lease);
        model = model.filter((other) => other !== lease);
        if (!remove) model.unshift(lease);
        // No more than there can be, so that a circle shows.
        const listed = [];
        for (const { service } of order) if (listed.push(service) > leases.length) break;
        expect(listed).toEqual(model.map(({ service }) => service));
        expect(order.size).toBe(model.length);
        expect(order.oldest?.service).toBe(model.at(-1)?.service);
      }
    }),
  );
});

test("a lease that was taken out keeps no other in memory", () => {
  const order = new UsageOrder();
  const leases = ["a", "b", "c"].map((service) => new Lease("t", service, WHOLE_SERVICE));
  for (const lease of leases) order.add(lease);
  order.delete(leases[1]!);
  expect([leases[1]!.newer, leases[1]!.older]).toEqual([undefined, undefined]);
});
