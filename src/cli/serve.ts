/** `crypto-edge serve --config FILE`: the edge. */
import type { Command } from "commander";

export function registerServe(program: Command): void {
  program
    .command("serve")
    .description("run the edge")
    .requiredOption("-c, --config <file>", "the YAML configuration")
    .addHelpText("after", "\nExample:\n  crypto-edge config check edge.yaml && crypto-edge serve --config edge.yaml")
    .action(async (options: { config: string }) => {
      const { loadConfiguration } = await import("../config/load-with-plugins.ts");
      const { startEdge } = await import("../edge.ts");
      const { stopSignal } = await import("./stop-signal.ts");
      const edge = await startEdge(await loadConfiguration(options.config));
      await stopSignal();
      await edge.close();
    });
}
