/** Runs one command, and shows a person what a failure of it looks like. */
import "../sdk/plugin/provide.ts";
import { loadMetadata } from "../base/system/metadata.ts";
import { directCommand } from "./direct.ts";
import { EXIT_FAILED, OUTPUT_ENDED } from "./exit-codes.ts";
import { isServing } from "./is-serving.ts";

/** How long the last lines of a log may take to reach a slow reader. */
const LAST_LINES_MS = 1_000;

/** Runs the command that the arguments name; returns the exit code. */
export async function runProgram(args: readonly string[]): Promise<number> {
  const code = await run(args);
  // It has written nothing but its one line, at once.
  if (args[0] === "version") return code;
  const { flushLineOutputs } = await import("../base/line-output.ts");
  // A reader that is stalled must not keep a process that has stopped, nor what a start that failed has left open.
  if (!(await flushLineOutputs(LAST_LINES_MS)) || (isServing(args) && code !== 0)) process.exit(code);
  return code;
}

async function run(args: readonly string[]): Promise<number> {
  const direct = directCommand(args);
  try {
    if (direct !== undefined) {
      await direct();
    } else {
      await loadMetadata();
      const { exitCodeOfUsage, parseAndRun } = await import("./program.ts");
      try {
        await parseAndRun(args);
      } catch (error) {
        const code = exitCodeOfUsage(error);
        if (code !== undefined) return code;
        throw error;
      }
    }
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (!(error instanceof Error && error.name === OUTPUT_ENDED))
      console.error(`crypto-edge: ${error instanceof Error ? error.message : String(error)}`);
    return EXIT_FAILED;
  }
}
