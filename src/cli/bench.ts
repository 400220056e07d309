/** `crypto-edge bench`: what this machine does, beside AES-GCM alone, in one run; and what an edge answers in. */
import type { Command } from "commander";

interface BenchOptions {
  readonly seconds: string;
  readonly edge?: string;
  readonly tenant: string;
  readonly json?: boolean;
}

export function registerBench(program: Command): void {
  program
    .command("bench")
    .description("measure wrapping and unwrapping on this machine, and with --edge how soon an edge answers")
    .option("--seconds <n>", "about how long to measure", "3")
    .option("-e, --edge <url>", "also call this edge: http://…, https://… or unix:PATH")
    .option("-t, --tenant <name>", "the tenant whose keys are asked for at --edge", "tenant-a")
    .option("--json", "as JSON")
    .addHelpText("after", "\nExamples:\n  crypto-edge bench\n  crypto-edge bench --edge http://127.0.0.1:7402")
    .action(async (options: BenchOptions) => {
      const seconds = Number(options.seconds);
      if (!(seconds > 0 && seconds <= 600))
        program.error(`error: --seconds takes a number up to 600, not "${options.seconds}"`);
      const { measureCipher } = await import("./bench/measure-cipher.ts");
      const rows = await measureCipher(seconds * 1000);
      const edge = options.edge === undefined ? undefined : await edgeLatency(options.edge, options.tenant, seconds);
      if (options.json) {
        console.log(JSON.stringify({ cipher: rows, ...(edge === undefined ? {} : { edge }) }));
        return;
      }
      for (const { name, perSecond, ratio } of rows) {
        console.log(
          `${name.padEnd(36)} ${Math.round(perSecond).toLocaleString("en").padStart(11)} /s   ${ratio.toFixed(2)} of AES-GCM alone`,
        );
      }
      if (edge === undefined) return;
      console.log(`CreateKey at ${options.edge}, one call after the other: ${edge.calls} calls`);
      console.log(
        `p50 ${edge.p50Ms.toFixed(3)} ms, p99 ${edge.p99Ms.toFixed(3)} ms, slowest ${edge.slowestMs.toFixed(3)} ms`,
      );
    });
}

async function edgeLatency(url: string, tenant: string, seconds: number) {
  const { measureEdge } = await import("./bench/measure-edge.ts");
  return measureEdge(url, tenant, seconds * 1000);
}
