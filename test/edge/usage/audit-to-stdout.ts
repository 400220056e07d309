/** Writes audit to a standard output whose reader goes away, and tells on standard error how that ended. */
import { AuditStdout } from "../../../src/edge/usage/audit-log.ts";

const sink = new AuditStdout((message) => console.error(message));
for (let written = 0; written < 30; written++) {
  sink.write(["x".repeat(100)]);
  await Bun.sleep(10);
}
console.error(`${sink.errors > 0 && sink.dropped > 0 ? "dropped, and counted" : "not noticed"}`);
