/** A process that holds the lock of an audit file until it is killed. */
import { lockAuditFile } from "../../../src/edge/usage/audit-lock.ts";

await lockAuditFile(process.argv[2]!, (message) => console.log(message));
console.log("held");
setInterval(() => undefined, 60_000);
