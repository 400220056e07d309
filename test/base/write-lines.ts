/** For line-output.test.ts: writes 30,000 lines to standard error, and says in a file how that went. */
import { writeFileSync } from "node:fs";
import { flushLineOutputs, openLineOutput } from "../../src/base/line-output.ts";

const [report = "", mode] = process.argv.slice(2);
const output = openLineOutput(2, { droppedLine: (count) => `lost ${count}\n` });
for (let index = 0; index < 30_000; index++) {
  output.write(`${index} ${"x".repeat(60)}\n`);
  if (index % 1_000 === 999) await new Promise((resolve) => setImmediate(resolve));
}
const { failure, dropped } = output;
const say = (flushed: boolean): void => writeFileSync(report, JSON.stringify({ dropped, failure, flushed }));
if (mode === "--until-flushed") {
  say(false);
  await flushLineOutputs(30_000);
} else {
  say(await flushLineOutputs(100));
  // As the program does: what still waits for a stalled reader is given up.
  process.exit(0);
}
