/**
 * Holds many leases, uses each once, and then makes and opens keys under one of them: prints its resident memory in
 * bytes after each step, a JSON line each. Options: { leases, operations, steps }.
 */

import { openKeyMemory } from "../../src/edge/key-memory/open-key-memory.ts";
import type { CreatedKey, Opened } from "../../src/edge/operations/operations.ts";
import { createOperations } from "../../src/edge/operations/pipeline.ts";
import { allowAll, CALLER, ignoreAll, leaseCache } from "../harness/edge-in-process.ts";
import { residentBytesOf } from "../harness/processes.ts";

const { leases, operations, steps } = JSON.parse(process.argv[2]!) as {
  leases: number;
  operations: number;
  steps: number;
};
const keyMemory = await openKeyMemory({ choice: "auto", expectedKeys: leases, warn: () => undefined });
const cache = leaseCache(keyMemory, leases + 1);
const edge = createOperations({ access: allowAll, leases: cache, recorder: ignoreAll });
const tell = (step: string, done: number): void => {
  Bun.gc(true);
  console.log(JSON.stringify({ step, done, residentBytes: residentBytesOf(process.pid), keyMemory: keyMemory.kind }));
};

tell("start", 0);
for (let index = 0; index < leases; index++) await cache.active(`tenant-${index % 100}`, `service-${index}`);
tell("held", leases);
for (let index = 0; index < leases; index++) {
  await edge.createKey(CALLER, { tenant: `tenant-${index % 100}`, service: `service-${index}` });
}
tell("used", leases);
const key = { tenant: "tenant-0", service: "service-0" };
for (let step = 1; step <= steps; step++) {
  for (let index = 0; index < operations / steps; index += 2) {
    const { wrapped } = edge.createKey(CALLER, key) as CreatedKey;
    const { plaintext } = edge.decryptKey(CALLER, { wrapped }) as Opened;
    plaintext.fill(0);
  }
  tell("operations", (operations / steps) * step);
}
cache.close();
keyMemory.close();
process.exit(0);
