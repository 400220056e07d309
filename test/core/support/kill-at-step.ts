/** A process of its own that makes one change and kills itself after the given call of the store within it; 0 is after the commit. */
import { makeChange, watchCalls } from "./changes.ts";
import { openRegistry } from "./registry.ts";

const { database, masterKey, formerMasterKey, change, step } = JSON.parse(process.argv[2] ?? "{}") as {
  database: Parameters<typeof openRegistry>[0]["database"];
  masterKey: string;
  formerMasterKey: string;
  change: string;
  step: number;
};
const opened = await openRegistry({
  database,
  masterKey: Buffer.from(masterKey, "hex"),
  formerMasterKey: Buffer.from(formerMasterKey, "hex"),
});
const die = (): never => {
  process.kill(process.pid, "SIGKILL");
  throw new Error("unreachable");
};
let calls = 0;
await makeChange(
  change,
  watchCalls(opened, () => void (++calls === step && die())),
);
if (step === 0) die();
// There are fewer calls than that.
process.exit(0);
