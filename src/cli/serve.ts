/** `crypto-edge serve --config FILE`: the edge. */
import type { Command } from "commander";
import { messageOf } from "../errors.ts";

export function registerServe(program: Command): void {
  program
    .command("serve")
    .description("run the edge")
    .requiredOption("-c, --config <file>", "the YAML configuration")
    .addHelpText(
      "after",
      "\nExample:\n  crypto-edge config check edge.yaml && crypto-edge serve --config edge.yaml\n\nSIGHUP reloads policies and certificates.",
    )
    .action(async (options: { config: string }) => {
      const { loadConfiguration } = await import("../config/load-with-plugins.ts");
      const { startEdge } = await import("../edge.ts");
      const { systemClock } = await import("../clock/system-clock.ts");
      const { openServiceManager } = await import("../service-manager/service-manager.ts");
      const { onReloadSignal } = await import("./reload-signal.ts");
      const { stopSignal } = await import("./stop-signal.ts");
      const edge = await startEdge(await loadConfiguration(options.config));
      const manager = await openServiceManager(systemClock, (message) => edge.log.warn(message));
      manager.ready();
      const endReloads = onReloadSignal(async () => {
        manager.reloading();
        try {
          await edge.reload((await loadConfiguration(options.config)).configuration);
        } catch (error) {
          edge.log.error({ reason: messageOf(error) }, "the configuration was not reloaded; the old one stays in use");
        }
        manager.ready();
      });
      await stopSignal();
      endReloads();
      manager.stopping();
      await edge.close();
      manager.close();
    });
}
