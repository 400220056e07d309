// Uses each entry point of the installed package against a real edge, by every way that this runtime has. Prints one line of JSON.
import { readFileSync } from "node:fs";
import { CryptoEdgeError, contextFrom, createClient, parseWrapped } from "crypto-edge/client";
import { openSealedFile, openStream, sealStream } from "crypto-edge/files";
import { definePlugin, Section, Type } from "crypto-edge/plugin";
import { createRecords } from "crypto-edge/records";

const { EDGE_UNIX, EDGE_HTTP, EDGE_HTTPS, CA, CERT, KEY } = process.env;
const NAME = { tenant: "tenant-a", service: "billing" };
const pem = (path) => readFileSync(path, "utf8");
const clients = {
  unix: createClient({ url: EDGE_UNIX }),
  http: createClient({ url: EDGE_HTTP }),
  https: createClient({ url: EDGE_HTTPS, tls: () => ({ ca: pem(CA), cert: pem(CERT), key: pem(KEY) }) }),
};
const seen = {};
for (const [way, client] of Object.entries(clients)) {
  const context = contextFrom({ id: 1 });
  const { wrapped, plaintext } = await client.createKey({ ...NAME, plaintext: true, context });
  const opened = await client.decryptKey({ wrapped, context });
  const many = await client.decryptKeys(await client.createKeys(NAME, 3));
  const same = opened.plaintext.every((byte, index) => byte === plaintext[index]);
  seen[way] = [parseWrapped(wrapped).version, same, many.filter((key) => key instanceof CryptoEdgeError).length];
}
const refused = await clients.unix.createKey({ tenant: "tenant-a", service: "nowhere" }).catch((error) => error);
seen.error = [refused instanceof CryptoEdgeError, refused.code, refused.status, typeof refused.requestId];
const without = createClient({ url: EDGE_HTTPS, tls: { ca: pem(CA) }, retry: { attempts: 1 } });
seen.withoutCertificate = (await without.createKey(NAME).catch((error) => error)).code;

const records = createRecords(clients.unix, NAME);
const sealed = await records.sealJson({ iban: "DE02" }, { id: "17" });
seen.record = await records.openJson(sealed, { id: "17" });
seen.otherRow = (await records.open(sealed, { id: "18" }).catch((error) => error)).code;
seen.many = (
  await records.openMany((await records.sealMany([{ value: "a" }, { value: "b" }])).map((record) => ({ record })))
).length;

const content = new Uint8Array(200_000).fill(7);
const file = new Uint8Array(
  await new Response(new Blob([content]).stream().pipeThrough(sealStream(clients.unix, NAME))).arrayBuffer(),
);
const back = new Uint8Array(
  await new Response(new Blob([file]).stream().pipeThrough(openStream(clients.http))).arrayBuffer(),
);
seen.file = [
  back.length,
  back.every((byte) => byte === 7),
  (await (await openSealedFile(clients.unix, new Blob([file]))).read(100_000, 100_010)).length,
];

seen.plugin = definePlugin({
  name: "x",
  apiVersion: 1,
  keySources: { x: { configuration: Section({ a: Type.String() }), create() {} } },
}).name;
console.log(JSON.stringify(seen));
// Nothing is closed: kept connections and the stream of revocations must not keep the process alive.
