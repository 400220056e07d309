/** `crypto-edge version` */
import type { Command } from "commander";
import { printVersion } from "./print-version.ts";

export function registerVersion(program: Command): void {
  program
    .command("version")
    .description("print version, commit, runtime and target")
    .option("--json", "as JSON")
    .action((options: { json?: boolean }) => printVersion(options.json === true));
}
