/** `crypto-edge audit verify FILE…` */
import { type Command, InvalidArgumentError } from "commander";
import type { ChainHead } from "../edge/usage/audit-chain.ts";
import { EXIT_FAILED } from "./exit-codes.ts";
import { print } from "./print.ts";

export function registerAudit(program: Command): void {
  const audit = program.command("audit").description("check audit files");

  audit
    .command("verify")
    .argument("<file...>", "audit files, those put aside too, in any order")
    .description("say whether a line is missing, altered, moved or cut off")
    .option("--head <seq:hash>", "a place in the chain known from elsewhere (/v1/status shows it)", parseHead)
    .option("--json", "as JSON: { ok, lines, head, problems, notes }")
    .addHelpText("after", "\nExample:\n  crypto-edge audit verify /var/log/crypto-edge/audit.jsonl*")
    .action(async (files: string[], options: { head?: ChainHead; json?: boolean }) => {
      const { verifyAudit } = await import("../edge/usage/audit-verify.ts");
      const { problems, notes, lines, head } = await verifyAudit(files, options.head);
      if (problems.length > 0) process.exitCode = EXIT_FAILED;
      if (options.json) {
        print(JSON.stringify({ ok: problems.length === 0, lines, head, problems, notes }));
        return;
      }
      for (const problem of problems) print(`problem: ${problem}`);
      for (const note of notes) print(`note: ${note}`);
      const verdict = problems.length === 0 ? "nothing is missing or altered" : "the audit was changed";
      print(`${lines} lines, head ${head === undefined ? "none" : `${head.seq}:${head.hash}`}: ${verdict}`);
    });
}

function parseHead(text: string): ChainHead {
  const match = /^(\d{1,15}):([A-Za-z0-9_-]{43})$/.exec(text);
  if (match === null) throw new InvalidArgumentError("Give the number, a colon, and the hash: 42:Zm9v….");
  return { seq: Number(match[1]), hash: match[2]! };
}
