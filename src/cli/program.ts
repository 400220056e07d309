/** The program: its commands, and what a failure of one looks like to a person. */
import { Command, CommanderError } from "commander";
import { messageOf } from "../base/errors.ts";
import { flushLineOutputs } from "../base/line-output.ts";
import { registerAccess } from "./access.ts";
import { registerAudit } from "./audit.ts";
import { registerBench } from "./bench.ts";
import { registerConfig } from "./config.ts";
import { registerCore } from "./core.ts";
import { registerDev } from "./dev.ts";
import { EXIT_FAILED, EXIT_USAGE } from "./exit-codes.ts";
import { registerInspect } from "./inspect.ts";
import { registerPki } from "./pki.ts";
import { registerPlugin } from "./plugin.ts";
import { registerSeal } from "./seal.ts";
import { registerServe } from "./serve.ts";
import { registerStatus } from "./status.ts";
import { registerVersion } from "./version.ts";

export function createProgram(): Command {
  const program = new Command("crypto-edge")
    .description("Makes and opens data keys next to the application, under service keys leased from a Core.")
    .showHelpAfterError("(add --help for help)")
    .showSuggestionAfterError()
    .exitOverride();
  const register = [
    registerDev,
    registerServe,
    registerConfig,
    registerSeal,
    registerInspect,
    registerAccess,
    registerAudit,
    registerCore,
    registerPki,
    registerPlugin,
    registerStatus,
    registerBench,
    registerVersion,
  ];
  for (const registerCommand of register) registerCommand(program);
  return program;
}

/** How long the last lines of a log may take to reach a slow reader. */
const LAST_LINES_MS = 1_000;

/** Runs the command that the arguments name; returns the exit code. */
export async function runProgram(args: readonly string[]): Promise<number> {
  const code = await run(args);
  // A reader that is stalled must not keep a process that has stopped.
  if (!(await flushLineOutputs(LAST_LINES_MS))) process.exit(code);
  return code;
}

async function run(args: readonly string[]): Promise<number> {
  try {
    await createProgram().parseAsync(args, { from: "user" });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    // Commander has printed what is wrong, or the help that was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    console.error(`crypto-edge: ${messageOf(error)}`);
    return EXIT_FAILED;
  }
}
