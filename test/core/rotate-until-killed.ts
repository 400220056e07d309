/** A process of its own that changes keys as fast as it can and says each change once it is committed, until it is killed. */
import { writeSync } from "node:fs";
import { KeyStore } from "../../src/core/key-store.ts";

const [database = "", masterKeyHex = ""] = process.argv.slice(2);
const store = new KeyStore({
  database,
  masterKey: Buffer.from(masterKeyHex, "hex"),
  now: Date.now,
  onEvent: (event) => writeSync(1, `${event.seq}\n`),
});
const scope = { tenant: "tenant-a", service: "billing" };
writeSync(1, "ready\n");
for (;;) {
  const rotated = store.rotate("tenant-a", "billing");
  if (rotated.type !== "rotate") continue;
  const version = { ...scope, version: rotated.version };
  store.revoke(version, "compromised", "test", { rotate: true });
  store.restore(version);
}
