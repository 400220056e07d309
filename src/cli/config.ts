/** `crypto-edge config check FILE`, `crypto-edge config schema` */
import type { Command } from "commander";
import { EXIT_FAILED } from "./exit-codes.ts";

export function registerConfig(program: Command): void {
  const config = program.command("config").description("check a configuration, or print its schema");

  config
    .command("check")
    .argument("<file>", "the YAML file")
    .description("say what is wrong with a configuration, by line, without starting")
    .option("--json", "as JSON: { ok, problems }")
    .addHelpText("after", "\nExample:\n  crypto-edge config check edge.yaml")
    .action(async (file: string, options: { json?: boolean }) => {
      const { ConfigurationError } = await import("../base/config/load.ts");
      const { loadConfiguration } = await import("../edge/config/load-with-plugins.ts");
      let problems: readonly string[] = [];
      try {
        await loadConfiguration(file);
      } catch (error) {
        if (!options.json || !(error instanceof ConfigurationError)) throw error;
        problems = error.lines;
        process.exitCode = EXIT_FAILED;
      }
      if (options.json) console.log(JSON.stringify({ ok: problems.length === 0, problems }));
      else console.log(`${file}: no mistakes`);
    });

  config
    .command("schema")
    .description("print the configuration's JSON Schema, for an editor")
    .action(async () => {
      const { configurationSchema } = await import("../edge/config/schema.ts");
      console.log(JSON.stringify(configurationSchema(), null, 2));
    });
}
