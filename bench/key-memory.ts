/** What it costs that service keys live in memory that only this process can read. */

import type { KeyMemoryKind } from "../src/edge/key-memory/key-memory.ts";
import { openKeyMemory } from "../src/edge/key-memory/open-key-memory.ts";
import { createOperations } from "../src/edge/operations/pipeline.ts";
import { CIPHER } from "./harness/ciphers.ts";
import type { BenchContext } from "./harness/context.ts";
import { allowAll, CALLER, heldLeases, ignoreAll } from "./harness/edge-in-process.ts";
import { compare, interleave, ratePerCpuSecond } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about = "CreateKey and new wrapping sessions with secret key memory against the heap";
export const guards = true;

const NO_CONTEXT = new Uint8Array(0);

export async function run(context: BenchContext): Promise<Row[]> {
  const secret = await measured("secret", context);
  const heap = await measured("heap", context);
  const samples = await interleave(
    {
      createSecret: () => ratePerCpuSecond(secret.createKey, context.sampleMs),
      createHeap: () => ratePerCpuSecond(heap.createKey, context.sampleMs),
      sessionSecret: () => ratePerCpuSecond(secret.session, context.sampleMs),
      sessionHeap: () => ratePerCpuSecond(heap.session, context.sampleMs),
    },
    context.rounds,
  );
  const facts = { baselineName: "the same, keys on the heap", unit: "ops/s" };
  return [
    row({
      name: "key-memory: CreateKey, secret memory",
      ...compare(samples.createSecret, samples.createHeap),
      ...facts,
      goal: { of: "ratio", atLeast: 0.95 },
    }),
    row({
      name: "key-memory: a key stored, its session's first wrap, all wiped, secret memory",
      ...compare(samples.sessionSecret, samples.sessionHeap),
      ...facts,
      goal: { of: "ratio", atLeast: 0.9 },
    }),
  ];
}

async function measured(kind: KeyMemoryKind, context: BenchContext) {
  const memory = await openKeyMemory({ choice: kind, expectedKeys: 2, warn: () => {} });
  context.cleanUp(() => memory.close());
  const key = crypto.getRandomValues(new Uint8Array(32));
  const edge = createOperations({ access: allowAll, leases: heldLeases(memory.store(key)), recorder: ignoreAll });
  const request = { tenant: "tenant-a", service: "billing" };
  const cipher = CIPHER;
  const identity = { ...request, version: 1 };
  const dataKey = new Uint8Array(32);
  return {
    createKey: () => edge.createKey(CALLER, request),
    session: () => {
      const slot = memory.store(key);
      const session = cipher.begin(identity, slot);
      session.wrap(dataKey, NO_CONTEXT);
      session.wipe();
      slot.release();
    },
  };
}
