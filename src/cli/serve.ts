/** `crypto-edge serve --config FILE`: the edge. */
import type { Command } from "commander";
import type { ServeOptions } from "./run-serve.ts";

export function registerServe(program: Command): void {
  program
    .command("serve")
    .description("run the edge")
    .requiredOption("-c, --config <file>", "the YAML configuration")
    .addOption(
      program.createOption("--worker <index>", "set by the supervisor of `workers:`").hideHelp().argParser(Number),
    )
    .addHelpText(
      "after",
      "\nExample:\n  crypto-edge config check edge.yaml && crypto-edge serve --config edge.yaml\n\nSIGHUP reloads policies and certificates.",
    )
    .action(async (options: ServeOptions) => {
      const { runServe } = await import("./run-serve.ts");
      await runServe(options);
    });
}
