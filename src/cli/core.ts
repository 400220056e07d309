/** `crypto-edge core …`: runs the reference Core, and tells a running one what to do. */
import type { Command } from "commander";
import { registerCoreKeys } from "./core-keys.ts";
import { registerCoreWatch } from "./core-watch.ts";
import { EXIT_FAILED } from "./exit-codes.ts";
import { notesOnEnvironment, refuseHostileEnvironment } from "./hostile-environment.ts";
import { print } from "./print.ts";
import { requireBun } from "./require-bun.ts";

export function registerCore(program: Command): void {
  const core = program
    .command("core")
    .description("run the reference Core, and administer a running one")
    .addHelpText(
      "after",
      `
The commands for administrators find the Core by --url (or CRYPTO_CORE_URL, or the context), and show it the certificate
core-admin.pem of the folder --pki (default pki), made by \`crypto-edge pki core --admin\`.

Examples:
  crypto-edge core serve --config core.yaml
  crypto-edge core service create tenant-a billing
  crypto-edge core rotate tenant-a billing
  crypto-edge core revoke tenant-a billing --key-version 3 --reason "lost backup" --rotate`,
    );

  core
    .command("serve")
    .description("run the Core")
    .requiredOption("-c, --config <file>", "the YAML configuration (docs/core.md)")
    .addHelpText("after", "\nExample:\n  crypto-edge core serve --config core.yaml\n\nSIGHUP reloads the certificates.")
    .action(async (options: { config: string }) => {
      requireBun("the Core");
      refuseHostileEnvironment();
      const { serveCore } = await import("../core/serve-core.ts");
      const { stopSignal } = await import("../base/system/stop-signal.ts");
      const { openServiceManager } = await import("../base/system/service-manager.ts");
      const { systemClock } = await import("../base/time/system-clock.ts");
      const { openLineOutput } = await import("../base/line-output.ts");
      const stop = stopSignal();
      const running = await serveCore(options.config, {
        notes: notesOnEnvironment(),
        loadConsole: async () => (await import("../core/console/listener.ts")).startConsole,
      });
      stop.serving();
      const manager = await openServiceManager(systemClock, (message) => console.error(message));
      manager.ready();
      // A reader that stands still must not hold up what serves.
      openLineOutput(1, {}).write(`core: ready on ${running.url}\n`);
      await stop.asked;
      manager.stopping();
      await running.close();
      manager.close();
    });

  core
    .command("config")
    .description("check a Core's configuration")
    .command("check")
    .argument("<file>", "the YAML file")
    .description("say what is wrong with a Core's configuration, by line, without starting")
    .option("--json", "as JSON: { ok, problems }")
    .addHelpText("after", "\nExample:\n  crypto-edge core config check core.yaml")
    .action(async (file: string, options: { json?: boolean }) => {
      const { ConfigurationError } = await import("../base/config/configuration-error.ts");
      const { checkCore } = await import("../core/load-core.ts");
      let problems: readonly string[] = [];
      try {
        await checkCore(file);
      } catch (error) {
        if (!options.json || !(error instanceof ConfigurationError)) throw error;
        problems = error.lines;
        process.exitCode = EXIT_FAILED;
      }
      if (options.json) print(JSON.stringify({ ok: problems.length === 0, problems }));
      else print(`${file}: no mistakes`);
    });

  core
    .command("migrate")
    .description("bring a Core's database to this version's tables; starting a Core does so too")
    .requiredOption("-c, --config <file>", "the Core's configuration")
    .addHelpText("after", "\nExample:\n  crypto-edge core migrate --config core.yaml")
    .action(async ({ config }: { config: string }) => {
      requireBun("`core migrate`");
      const { migrateDatabase } = await import("./core-database.ts");
      await migrateDatabase(config);
    });

  core
    .command("backup")
    .argument("<file>", "where the copy goes")
    .description("copy a Core's database while it runs; the keys in it stay under the master key")
    .requiredOption("-c, --config <file>", "the Core's configuration")
    .option("--force", "overwrite the file")
    .option("--json", "as JSON")
    .addHelpText("after", "\nExample:\n  crypto-edge core backup core.backup --config core.yaml")
    .action(async (file: string, options: { config: string; force?: boolean; json?: boolean }) => {
      requireBun("`core backup`");
      const { backUpDatabase } = await import("./core-database.ts");
      await backUpDatabase(options.config, file, options);
    });

  registerCoreKeys(core);
  registerCoreWatch(core);
}
