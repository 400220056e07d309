/** The program as its command line has it: every command and its options. */
import { Command, CommanderError } from "commander";
import { registerAccess } from "./access.ts";
import { registerAudit } from "./audit.ts";
import { registerBench } from "./bench.ts";
import { registerCompletion } from "./completion.ts";
import { registerConfig } from "./config.ts";
import { registerContexts } from "./contexts.ts";
import { registerCore } from "./core.ts";
import { registerDev } from "./dev.ts";
import { EXIT_USAGE } from "./exit-codes.ts";
import { registerInspect } from "./inspect.ts";
import { registerPki } from "./pki.ts";
import { registerPlugin } from "./plugin.ts";
import { write } from "./print.ts";
import { describeVersion } from "./print-version.ts";
import { registerSeal } from "./seal.ts";
import { registerServe } from "./serve.ts";
import { registerStatus } from "./status.ts";
import { registerTop } from "./top.ts";
import { registerVersion } from "./version.ts";

export function createProgram(): Command {
  const program = new Command("crypto-edge")
    .description("Makes and opens data keys next to the application, under service keys leased from a Core.")
    .showHelpAfterError("(add --help for help)")
    .showSuggestionAfterError()
    .version(describeVersion(), "-V, --version", "the version, and what it was built from")
    .configureOutput({ writeOut: write, writeErr: (text) => console.error(text.trimEnd()) })
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
    registerTop,
    registerContexts,
    registerBench,
    registerCompletion,
    registerVersion,
  ];
  for (const registerCommand of register) registerCommand(program);
  return program;
}

/** Runs what the arguments name. @throws {CommanderError} once it has printed what is wrong, or the help that was asked for */
export async function parseAndRun(args: readonly string[]): Promise<void> {
  await createProgram().parseAsync(args, { from: "user" });
}

/** The exit code of an error of the parser's; undefined for any other. */
export function exitCodeOfUsage(error: unknown): number | undefined {
  if (!(error instanceof CommanderError)) return undefined;
  return error.exitCode === 0 ? 0 : EXIT_USAGE;
}
