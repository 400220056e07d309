/** What hooks cost an operation: none registered, ones that answer at once, and ones that answer later. */
import { systemClock } from "../src/base/time/system-clock.ts";
import type { CreatedKey, Operations } from "../src/edge/operations/operations.ts";
import { createOperations } from "../src/edge/operations/pipeline.ts";
import { HookRunner } from "../src/edge/plugin-host/hook-runner.ts";
import { createOperationHooks } from "../src/edge/plugin-host/hooked-operations.ts";
import type { Hooks } from "../src/edge/plugin-host/hooks.ts";
import type { BenchContext } from "./harness/context.ts";
import { allowAll, CALLER, heldLeases, ignoreAll } from "./harness/edge-in-process.ts";
import { compare, interleave, ratePerCpuSecond } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about = "CreateKey and DecryptKey with hooks around them, in nanoseconds an operation";
export const guards = true;

const CALLS = 256;
const SILENT = { info() {}, warn() {}, error() {} };
const REQUEST = { tenant: "tenant-a", service: "billing" } as const;

export async function run(context: BenchContext): Promise<Row[]> {
  const parts = { access: allowAll, leases: heldLeases(), recorder: ignoreAll };
  const hooked = (...hooks: Hooks[]): Operations => {
    const registered = hooks.map((each, index) => ({
      name: `hook-${index}`,
      hooks: each,
      onFailure: "refuse" as const,
      timeoutMs: 100,
    }));
    return createOperations({ ...parts, hooks: createOperationHooks(new HookRunner(registered, systemClock, SILENT)) });
  };
  let seen = 0;
  const count = (): void => void seen++;
  const countLater = async (): Promise<void> => void seen++;
  const both = { beforeCreate: count, afterCreate: count, beforeDecrypt: count, afterDecrypt: count };

  const plain = createOperations(parts);
  const none = hooked();
  const before = hooked({ beforeCreate: count, beforeDecrypt: count });
  const around = hooked(both);
  const five = hooked(both, both, both, both, both);
  const later = hooked({ beforeCreate: countLater });
  const { wrapped } = plain.createKey(CALLER, REQUEST) as CreatedKey;

  const create = (edge: Operations) => () => nanoseconds(() => edge.createKey(CALLER, REQUEST), context.sampleMs);
  const decrypt = (edge: Operations) => () => nanoseconds(() => edge.decryptKey(CALLER, { wrapped }), context.sampleMs);
  const samples = await interleave(
    {
      create: create(plain),
      createNone: create(none),
      createBefore: create(before),
      createAround: create(around),
      createFive: create(five),
      createLater: () => nanosecondsAwaited(() => later.createKey(CALLER, REQUEST), context.sampleMs),
      decrypt: decrypt(plain),
      decryptNone: decrypt(none),
      decryptAround: decrypt(around),
      decryptBesideLater: decrypt(later),
    },
    context.rounds,
  );
  const facts = (values: number[], baseline: number[], baselineName: string) => ({
    ...compare(values, baseline),
    unit: "ns",
    baselineName,
  });
  const ofCreate = (values: number[]) => facts(values, samples.create, "CreateKey without the hooks' code");
  const ofDecrypt = (values: number[]) => facts(values, samples.decrypt, "DecryptKey without the hooks' code");
  return [
    row({
      name: "hooks: CreateKey, none registered",
      ...ofCreate(samples.createNone),
      goal: { of: "ratio", atMost: 1.15 },
      note: "the very same code: what differs from 1 is noise",
    }),
    row({ name: "hooks: CreateKey, beforeCreate at once", ...ofCreate(samples.createBefore) }),
    row({ name: "hooks: CreateKey, before and after at once", ...ofCreate(samples.createAround) }),
    row({ name: "hooks: CreateKey, five plugins before and after", ...ofCreate(samples.createFive) }),
    row({ name: "hooks: CreateKey, beforeCreate later, awaited", ...ofCreate(samples.createLater) }),
    row({
      name: "hooks: DecryptKey, none registered",
      ...ofDecrypt(samples.decryptNone),
      goal: { of: "ratio", atMost: 1.15 },
      note: "the very same code: what differs from 1 is noise",
    }),
    row({ name: "hooks: DecryptKey, before and after at once", ...ofDecrypt(samples.decryptAround) }),
    row({
      name: "hooks: DecryptKey, beside a beforeCreate that answers later",
      ...ofDecrypt(samples.decryptBesideLater),
      note: "an asynchronous hook makes only its own operation wait",
    }),
  ];
}

/** Of processor time, so that a machine's other work counts little. */
function nanoseconds(operation: () => unknown, forMs: number): number {
  return 1e9 / ratePerCpuSecond(operation, forMs);
}

async function nanosecondsAwaited(operation: () => unknown, forMs: number): Promise<number> {
  const startedMs = performance.now();
  const startedCpu = process.cpuUsage();
  let calls = 0;
  do {
    for (let index = 0; index < CALLS; index++) await operation();
    calls += CALLS;
  } while (performance.now() - startedMs < forMs);
  const { user, system } = process.cpuUsage(startedCpu);
  return ((user + system) / calls) * 1e3;
}
