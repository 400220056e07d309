/** `crypto-edge version` */
import type { Command } from "commander";
import { COMMIT, TARGET, VERSION } from "../base/version.ts";

export function registerVersion(program: Command): void {
  program
    .command("version")
    .description("print version, commit, runtime and target")
    .option("--json", "as JSON")
    .action((options: { json?: boolean }) => {
      const { bun, deno } = process.versions;
      const runtime = bun === undefined ? `Deno ${deno}` : `Bun ${bun}`;
      if (options.json) console.log(JSON.stringify({ version: VERSION, commit: COMMIT, runtime, target: TARGET }));
      else console.log(`crypto-edge ${VERSION} (commit ${COMMIT}, ${runtime}, ${TARGET})`);
    });
}
