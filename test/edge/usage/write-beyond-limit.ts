/** Writes an audit file of which the system takes only the beginning; run with a limit of a file's size. */
import { join } from "node:path";
import { CHAIN_START, chainLine } from "../../../src/edge/usage/audit-chain.ts";
import { AuditFile } from "../../../src/edge/usage/audit-file.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const warnings: string[] = [];
const file = new AuditFile({
  path: join(process.argv[2]!, "audit.jsonl"),
  clock: new VirtualClock(),
  maxBytes: 1e9,
  keepFiles: 0,
  fsync: "second",
  warn: (message) => warnings.push(message),
});
const { line, head } = chainLine(CHAIN_START, { reason: "x".repeat(1000) });
const lines = Array.from({ length: 1000 }, () => line);
for (let round = 0; round < 40; round++) {
  file.write(lines, head);
  file.tick();
}
console.log(JSON.stringify({ errors: file.errors, dropped: file.dropped, warnings }));
