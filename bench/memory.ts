/** Memory with 100,000 leases held, and whether it grows with the operations done. */
import { fileURLToPath } from "node:url";
import type { BenchContext } from "./harness/context.ts";
import { onCore } from "./harness/processes.ts";
import { type Row, row } from "./harness/row.ts";

export const about = "memory with 100,000 leases, and over many operations";

const LEASES = 100_000;

interface Step {
  readonly step: "start" | "held" | "used" | "operations";
  readonly done: number;
  readonly residentBytes: number;
  readonly keyMemory: string;
}

export async function run(context: BenchContext): Promise<Row[]> {
  const operations = context.isGuard ? 2_000_000 : 100_000_000;
  const script = fileURLToPath(new URL("./servers/leases.ts", import.meta.url));
  const options = JSON.stringify({ leases: LEASES, operations, steps: 10 });
  context.say(`${LEASES} leases, then ${operations} operations…`);
  const child = Bun.spawn(onCore("server", [process.execPath, script, options]), { stdout: "pipe", stderr: "inherit" });
  context.cleanUp(() => child.kill());
  const output = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error("The process that held the leases failed.");
  const steps = output
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Step);
  const held = steps.find(({ step }) => step === "held")!;
  const used = steps.find(({ step }) => step === "used")!;
  const working = steps.filter(({ step }) => step === "operations");
  // The first steps warm the collector up: growth is what comes after half of them.
  const settled = working.slice(working.length / 2);
  const grown = settled.at(-1)!.residentBytes - settled[0]!.residentBytes;
  const grownOperations = settled.at(-1)!.done - settled[0]!.done;
  const mib = (bytes: number): number => bytes / 2 ** 20;
  return [
    row({
      name: `memory: ${LEASES.toLocaleString("en-US")} leases held`,
      value: mib(held.residentBytes),
      unit: "MiB",
      goal: { of: "value", atMost: 250 },
    }),
    row({
      name: `memory: ${LEASES.toLocaleString("en-US")} leases held, each used`,
      value: mib(used.residentBytes),
      unit: "MiB",
      goal: { of: "value", atMost: 250 },
      note: `each has its wrapping session, with derived keys of its own; service keys in memory of kind ${held.keyMemory}; ${mib(steps[0]!.residentBytes).toFixed(0)} MiB before the first`,
    }),
    row({
      name: "memory: growth over 10 million operations",
      value: Math.max(0, (mib(grown) / grownOperations) * 10_000_000),
      unit: "MiB",
      // Noise of the collector; a leak of one byte an operation would be 9.5.
      goal: { of: "value", atMost: 8 },
      note: `${operations.toLocaleString("en-US")} operations, measured over the last ${grownOperations.toLocaleString("en-US")}, from ${mib(settled[0]!.residentBytes).toFixed(1)} to ${mib(settled.at(-1)!.residentBytes).toFixed(1)} MiB`,
    }),
  ];
}
