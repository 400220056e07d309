/** `crypto-edge bench`: what this machine does, beside AES-GCM alone, in one run; and what an edge answers in. */
import type { Command } from "commander";
import { callingEdge, chosenContext, clientOptions, type EdgeOptions, edgeAccess } from "./context.ts";
import { print } from "./print.ts";

interface BenchOptions extends EdgeOptions {
  readonly seconds: string;
  readonly tenant?: string;
  readonly service?: string;
  readonly json?: boolean;
}

export function registerBench(program: Command): void {
  callingEdge(
    program
      .command("bench")
      .description(
        "measure wrapping and unwrapping on this machine, and with --edge or --context how soon an edge answers",
      ),
  )
    .option("--seconds <n>", "about how long to measure", "3")
    .option("-t, --tenant <name>", "the tenant whose keys the edge is asked for (default: the context's, or tenant-a)")
    .option("-s, --service <name>", "the service whose keys it is asked for (default: the context's, or default)")
    .option("--json", "as JSON")
    .addHelpText("after", "\nExamples:\n  crypto-edge bench\n  crypto-edge bench --edge http://127.0.0.1:7402")
    .action(async (options: BenchOptions, command: Command) => {
      const seconds = Number(options.seconds);
      if (!(seconds > 0 && seconds <= 600))
        program.error(`error: --seconds takes a number up to 600, not "${options.seconds}"`);
      const { measureCipher } = await import("./bench/measure-cipher.ts");
      const rows = await measureCipher(seconds * 1000);
      // What the environment says of an edge is for commands that can't do without one.
      const isAsked = command.getOptionValueSource("edge") === "cli" || options.context !== undefined;
      const edge = isAsked ? await edgeLatency(options, seconds) : undefined;
      if (options.json) {
        print(JSON.stringify({ cipher: rows, ...(edge === undefined ? {} : { edge }) }));
        return;
      }
      for (const { name, perSecond, ratio } of rows) {
        print(
          `${name.padEnd(36)} ${Math.round(perSecond).toLocaleString("en").padStart(11)} /s   ${ratio.toFixed(2)} of AES-GCM alone`,
        );
      }
      if (edge === undefined) return;
      print(`CreateKey at ${edge.url}, one call after the other: ${edge.calls} calls`);
      print(
        `p50 ${edge.p50Ms.toFixed(3)} ms, p99 ${edge.p99Ms.toFixed(3)} ms, slowest ${edge.slowestMs.toFixed(3)} ms`,
      );
    });
}

async function edgeLatency(options: BenchOptions, seconds: number) {
  const { measureEdge } = await import("./bench/measure-edge.ts");
  const access = edgeAccess(options);
  const context = chosenContext(options.context);
  const tenant = options.tenant ?? context.tenant ?? "tenant-a";
  const service = options.service ?? context.service ?? "default";
  return { url: access.url, ...(await measureEdge(clientOptions(access), { tenant, service }, seconds * 1000)) };
}
