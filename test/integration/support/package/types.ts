// Compiled, never run: what an application writes, with the strictest options, and without this project's own types.
import { type Client, type CryptoEdgeError, createClient } from "crypto-edge/client";
import { openSealedFile, sealStream } from "crypto-edge/files";
import { definePlugin, type KeySource, Section, Type } from "crypto-edge/plugin";
import { checkPlugin } from "crypto-edge/plugin/conformance";
import { createRecords, type Records } from "crypto-edge/records";

const edge: Client = createClient({ url: "unix:/run/edge.sock", tls: () => ({ cert: "", key: "" }) });
const records: Records = createRecords(edge, { tenant: "tenant-a", service: "billing" });
export const text: Promise<string> = records.openText(new Uint8Array(), { id: "1" });
export const json: Promise<{ iban: string }> = records.openJson<{ iban: string }>("text");
export const results: Promise<(Uint8Array | CryptoEdgeError)[]> = records.openMany([]);
export const stream: TransformStream<Uint8Array, Uint8Array> = sealStream(edge, { tenant: "tenant-a" });
export const file = openSealedFile(edge, new Blob([]));
export const report = checkPlugin("./plugin");

export default definePlugin({
  name: "mine",
  apiVersion: 1,
  keySources: {
    mine: {
      configuration: Section({ directory: Type.String() }),
      create(): KeySource {
        throw new Error("not run");
      },
    },
  },
});

// @ts-expect-error A number is no value: sealJson takes it.
void records.seal(17);
// @ts-expect-error A context has strings alone: contextFrom makes them.
void records.seal("x", { id: 17 });
// @ts-expect-error The tenant is missing.
void edge.createKey({ service: "billing" });
