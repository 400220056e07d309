/** `crypto-edge plugin check DIR`, `crypto-edge plugin new NAME`, `crypto-edge plugin run FILE …` */
import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { EXIT_FAILED } from "./exit-codes.ts";
import { print } from "./print.ts";

export function registerPlugin(program: Command): void {
  const plugin = program.command("plugin").description("write a plugin, or check one");

  plugin
    .command("check")
    .argument("<dir>", "the plugin's folder")
    .description("hold a plugin to the contracts of what it contributes")
    .option("-c, --config <file>", "a configuration that uses it (default: check.yaml in the folder)")
    .option("--away <file>", "the same with its backend out of reach (default: check-away.yaml in the folder)")
    .option("--key <tenant/service>", "a key that its source has (default: the first of cache.prewarm)")
    .option("--json", "as JSON")
    .addHelpText(
      "after",
      "\nExample:\n  crypto-edge plugin check ./plugins/static --config edge.yaml --key tenant-a/billing",
    )
    .action(async (dir: string, options: { config?: string; away?: string; key?: string; json?: boolean }) => {
      const { checkPlugin } = await import("../sdk/conformance/check-plugin.ts");
      const { printReport, totalsOf } = await import("../sdk/conformance/report.ts");
      const report = await checkPlugin(dir, options);
      const totals = totalsOf(report);
      print(options.json ? JSON.stringify({ ...report, totals }, null, 2) : printReport(report));
      if (totals.broken > 0) process.exitCode = EXIT_FAILED;
    });

  plugin
    .command("run")
    .argument("<file>", "a script of a plugin, such as plugins/pkcs11/keys.ts")
    .argument("[arguments...]", "given to the script as they are")
    .description("run a plugin's own script by this program, without fetching any package")
    .allowUnknownOption()
    .helpOption(false)
    .addHelpText("after", "\nExample:\n  crypto-edge plugin run plugins/pkcs11/keys.ts --help")
    .action(async (file: string) => {
      const path = resolve(file);
      const { argv } = process;
      // What follows the file is the script's own, also where it looks like an option of this program.
      process.argv = [argv[0]!, path, ...argv.slice(argv.indexOf(file, argv.indexOf("run")) + 1)];
      await import(path);
    });

  plugin
    .command("new")
    .argument("<name>", "its name: lower-case letters, digits and -")
    .description("write a small plugin that works, with its test")
    .addOption(
      new Option("--kind <kind>", "what it contributes")
        .choices(["key-source", "revocation-transport", "audit-sink", "cipher", "hook", "door"])
        .makeOptionMandatory(),
    )
    .option("--dir <dir>", "the folder to make (default: the name)")
    .addHelpText(
      "after",
      "\nExample:\n  crypto-edge plugin new my-kms --kind key-source && crypto-edge plugin check my-kms",
    )
    .action(async (name: string, options: { kind: string; dir?: string }) => {
      const { writeTemplate } = await import("../sdk/template/write-template.ts");
      const { folder, files } = writeTemplate(name, options.kind as never, options.dir);
      for (const file of files) print(`${folder}/${file}`);
      print(`\nNext: crypto-edge plugin check ${folder}`);
    });
}
