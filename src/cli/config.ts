/** `crypto-edge config check FILE`, `crypto-edge config schema` */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { EXIT_FAILED } from "./exit-codes.ts";
import { print, write } from "./print.ts";

export function registerConfig(program: Command): void {
  const config = program.command("config").description("check a configuration, or print its schema");

  config
    .command("check")
    .argument("<file>", "the YAML file")
    .description("say what is wrong with a configuration, by line, without starting")
    .option("--json", "as JSON: { ok, problems, notes }")
    .addHelpText("after", "\nExample:\n  crypto-edge config check edge.yaml")
    .action(async (file: string, options: { json?: boolean }) => {
      const { ConfigurationError } = await import("../base/config/configuration-error.ts");
      const { loadConfiguration } = await import("../edge/config/load-with-plugins.ts");
      const { checkEdge } = await import("../edge/check.ts");
      const { systemClock } = await import("../base/time/system-clock.ts");
      let problems: readonly string[] = [];
      let notes: readonly string[] = [];
      try {
        ({ problems, notes } = await checkEdge(await loadConfiguration(file), systemClock));
      } catch (error) {
        if (!(error instanceof ConfigurationError)) throw error;
        problems = error.lines;
      }
      if (problems.length > 0) process.exitCode = EXIT_FAILED;
      if (options.json) return print(JSON.stringify({ ok: problems.length === 0, problems, notes }));
      for (const note of notes) print(`${file}: note: ${note}`);
      for (const problem of problems) console.error(`crypto-edge: ${problem}`);
      if (problems.length === 0) print(`${file}: no mistakes`);
    });

  config
    .command("renewal", { hidden: true })
    .argument("<file>")
    .description("what a reload takes of a configuration, for the edge that reloads")
    .action(async (file: string) => {
      const { makeRenewal } = await import("./read-renewal.ts");
      const key = readFileSync(0, "utf8");
      write(JSON.stringify(await makeRenewal(file, key)));
    });

  config
    .command("schema")
    .description("print the configuration's JSON Schema, for an editor")
    .action(async () => {
      const { configurationSchema } = await import("../edge/config/schema.ts");
      print(JSON.stringify(configurationSchema(), null, 2));
    });
}
