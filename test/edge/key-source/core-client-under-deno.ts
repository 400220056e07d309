/** Leases a key and follows the stream under Deno; prints what it got as JSON. Run by core-client-deno.test.ts. */
import { readFileSync } from "node:fs";
import process from "node:process";
import { createCoreClient } from "../../../src/edge/key-source/core/core-client.ts";

const input = JSON.parse(readFileSync(0, "utf8"));
const tenant = { tenant: "tenant-a", service: "billing" };
const client = createCoreClient({ url: input.url, certificates: input.certificates });
const leases = [];
for (let index = 0; index < 5; index++) leases.push(await client.lease(tenant));
const { kids } = { kids: (await client.keys()).keys.length };
const stop = new AbortController();
const events: string[] = [];
await client
  .revocations(
    undefined,
    {
      onMessage: ({ event }) => {
        events.push(event ?? "");
        if (events.length === 3) stop.abort();
      },
    },
    stop.signal,
  )
  .catch(() => undefined);
client.close();
const expired = createCoreClient({ url: input.url, certificates: input.expired });
const refusal = await expired.lease(tenant).catch((error: Error) => error.message);
expired.close();
const [first, ...others] = leases.map((lease) => Buffer.from(lease.versions[0]!.key).toString("base64"));
console.log(JSON.stringify({ key: first, same: others.every((key) => key === first), kids, events, refusal }));
process.exit(0);
