/** `crypto-edge version` */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import type { Command } from "commander";
import { readFileText } from "../base/read-file.ts";
import { EXIT_FAILED } from "./exit-codes.ts";
import { print } from "./print.ts";
import { printVersion } from "./print-version.ts";

export function registerVersion(program: Command): void {
  program
    .command("version")
    .description("print version, commit, runtime and target")
    .option("--json", "as JSON")
    .option("--verify <sums>", "say whether this executable is one of those that a release's SHA256SUMS names")
    .addHelpText("after", "\nExample:\n  crypto-edge version --verify SHA256SUMS")
    .action(async (options: { json?: boolean; verify?: string }) => {
      printVersion(options.json === true);
      if (options.verify !== undefined) await verify(options.verify);
    });
}

async function verify(sumsFile: string): Promise<void> {
  const sums = readFileText(sumsFile, "the sums");
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(process.execPath)) hash.update(chunk as Uint8Array);
  const sum = hash.digest("hex");
  const name = new RegExp(`^${sum} [ *](\\S+)$`, "m").exec(sums)?.[1];
  if (name === undefined) {
    console.error(
      `crypto-edge: this executable (SHA-256 ${sum}) is none of those in ${sumsFile}: get it anew from where the release is`,
    );
    process.exitCode = EXIT_FAILED;
  } else print(`this executable is ${name} of ${sumsFile}`);
}
