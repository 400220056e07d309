/**
 * Asks a Core for leases, some at once, and prints what a call took: processor time in microseconds, and bytes by which resident memory grew.
 * Options: { url, directory, calls }; the directory holds an edge's certificates, as core.ts wrote them.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createCoreClient } from "../../src/edge/key-source/core/core-client.ts";
import { wipeGrant } from "../../src/edge/key-source/grant.ts";
import { residentBytesOf } from "../harness/processes.ts";

const AT_ONCE = 4;
const WARM_UP_CALLS = 3_000;

const { url, directory, calls } = JSON.parse(process.argv[2]!) as { url: string; directory: string; calls: number };
const pem = (name: string): string => readFileSync(join(directory, name), "utf8");
const client = createCoreClient({
  url,
  certificates: { ca: pem("ca.pem"), cert: pem("edge.pem"), key: pem("edge.key") },
});

async function call(count: number): Promise<void> {
  let begun = 0;
  const caller = async (): Promise<void> => {
    while (begun < count) wipeGrant(await client.lease({ tenant: "tenant-a", service: `service-${begun++ % 1_000}` }));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, caller));
}

await call(WARM_UP_CALLS);
const bytes = residentBytesOf(process.pid);
const before = process.cpuUsage();
await call(calls);
const { user, system } = process.cpuUsage(before);
console.log(
  JSON.stringify({ microseconds: (user + system) / calls, bytes: (residentBytesOf(process.pid) - bytes) / calls }),
);
client.close();
process.exit(0);
