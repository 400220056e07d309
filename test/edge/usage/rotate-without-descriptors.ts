/** Fills an audit file while the process has no descriptor left for the next; run with a low limit of them. */
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { chainLine } from "../../../src/edge/usage/audit-chain.ts";
import { AuditFile } from "../../../src/edge/usage/audit-file.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const folder = process.argv[2]!;
const clock = new VirtualClock();
const path = join(folder, "audit.jsonl");
const file = new AuditFile({ path, clock, maxBytes: 8_192, keepFiles: 0, fsync: "rotation", warn() {} });
let { head } = file.start;

function write(count: number): void {
  for (let written = 0; written < count; written++) {
    const chained = chainLine(head, { reason: "x".repeat(20) });
    head = chained.head;
    file.write([chained.line], head);
  }
}

const held: number[] = [];
try {
  for (;;) held.push(openSync("/dev/null", "r"));
} catch {
  // There is none left.
}
write(150);
for (const descriptor of held.splice(-8)) closeSync(descriptor);
// What opens a file now gets the number that was closed last.
const foreign = Array.from({ length: 4 }, (_, index) => openSync(join(folder, `foreign-${index}`), "w"));
file.tick();
write(150);
file.close();
for (const descriptor of foreign) closeSync(descriptor);
console.log(
  JSON.stringify({
    foreign: foreign.map((_, index) => readFileSync(join(folder, `foreign-${index}`), "utf8")).join(""),
    errors: file.errors,
    dropped: file.dropped,
  }),
);
