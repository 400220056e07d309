/** A process of its own that changes keys as fast as it can and says each change once it is committed, until it is killed. */
import { writeSync } from "node:fs";
import { openRegistry } from "./registry.ts";

const [database = "", masterKeyHex = ""] = process.argv.slice(2);
const { registry } = await openRegistry({
  database: database.startsWith("{") ? JSON.parse(database) : database,
  masterKey: Buffer.from(masterKeyHex, "hex"),
});
const told = (seq: number | undefined): void => void writeSync(1, `${seq}\n`);
const scope = { tenant: "tenant-a", service: "billing" };
writeSync(1, "ready\n");
for (;;) {
  const rotated = await registry.rotate("tenant-a", "billing");
  told(rotated.seq);
  if (rotated.type !== "rotate") continue;
  const version = { ...scope, version: rotated.version };
  told((await registry.revoke(version, "compromised", "test", { rotate: true })).at(-1)?.seq);
  told((await registry.restore(version)).seq);
}
