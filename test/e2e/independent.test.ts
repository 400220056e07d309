import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { createClient } from "../../src/sdk/client/client.ts";
import { staticConfiguration } from "../support/static-edge.ts";
import vectors from "../vectors/blob-v1.json" with { type: "json" };
import { run, start, temporaryFolder } from "./support/binary.ts";

const OTHER = resolve(import.meta.dir, "independent/blob.mjs");
const L3 = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const CONTEXTS: Record<string, string>[] = [{}, { table: "invoices" }, { b: "2", a: "1", é: "𝄞", "€": "" }];

/** The other implementation, under Node. */
function other(request: object): Record<string, unknown> {
  const { code, stdout, stderr } = run([OTHER], { command: "node", input: JSON.stringify(request) });
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Record<string, unknown>;
}

test("the other implementation reads the vectors, so that it is one", () => {
  for (const { l3, blob, context, l4 } of vectors.open.slice(0, 3))
    expect(other({ do: "open", l3, blob, context }).l4).toBe(l4);
});

test("the edge opens blobs of another implementation of the format, and that opens blobs of the edge", async () => {
  using folder = temporaryFolder();
  writeFileSync(folder.file("edge.yaml"), staticConfiguration().replace("log: { level: error }", ""));
  const edge = start(["serve", "--config", folder.file("edge.yaml")]);
  try {
    const [, url] = await edge.waitFor(/"addresses":\["(http:[^"]+)"/);
    const client = createClient({ url: url! });
    for (const context of CONTEXTS) {
      for (const length of [16, 32, 64] as const) {
        const l4 = randomBytes(length).toString("hex");
        const theirs = other({ do: "wrap", l3: L3, tenant: "tenant-a", service: "billing", version: 2, context, l4 });
        const opened = await client.decryptKey({ wrapped: Buffer.from(String(theirs.blob), "hex"), context });
        expect(Buffer.from(opened.plaintext).toString("hex")).toBe(l4);

        const ours = await client.createKey({
          tenant: "tenant-a",
          service: "billing",
          length,
          context,
          plaintext: true,
        });
        const blob = Buffer.from(ours.wrapped).toString("hex");
        expect(other({ do: "open", l3: L3, blob, context })).toEqual({
          l4: Buffer.from(ours.plaintext!).toString("hex"),
          tenant: "tenant-a",
          service: "billing",
          version: 2,
        });
        expect(other({ do: "open", l3: L3, blob, context: { ...context, x: "y" } })).toEqual({ error: "tag" });
      }
    }
  } finally {
    await edge.stop("SIGTERM");
  }
});
