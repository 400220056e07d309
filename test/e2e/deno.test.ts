import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { createClient } from "../../src/sdk/client/client.ts";
import { staticConfiguration } from "../support/static-edge.ts";
import { type Running, start, temporaryFolder } from "./support/binary.ts";

const ROOT = resolve(import.meta.dir, "../..");
const DENO = resolve(ROOT, "node_modules/.bin/deno");
const KEY = { tenant: "tenant-a", service: "billing" };

async function urlOf(edge: Running): Promise<string> {
  const [, url] = await edge.waitFor(/"addresses":\["(http:[^"]+)"/);
  return url!;
}

test("the same edge starts under Deno, and blobs cross between the two runtimes, both ways", async () => {
  using folder = temporaryFolder();
  writeFileSync(folder.file("edge.yaml"), staticConfiguration().replace("log: { level: error }", ""));
  const bun = start(["serve", "--config", folder.file("edge.yaml")]);
  const deno = start(["run", "--allow-all", "src/main.ts", "serve", "--config", folder.file("edge.yaml")], {
    command: DENO,
    cwd: ROOT,
  });
  try {
    const clients = [createClient({ url: await urlOf(bun) }), createClient({ url: await urlOf(deno) })];
    for (const [maker, opener] of [clients, clients.toReversed()]) {
      for (const length of [16, 32, 64] as const) {
        const made = await maker!.createKey({ ...KEY, length, plaintext: true, context: { table: "invoices" } });
        const opened = await opener!.decryptKey({ wrapped: made.wrapped, context: { table: "invoices" } });
        expect(opened.plaintext).toEqual(made.plaintext!);
        await expect(opener!.decryptKey({ wrapped: made.wrapped })).rejects.toMatchObject({
          code: "decryption_failed",
        });
      }
      expect(await maker!.createKeys(KEY, 20)).toHaveLength(20);
    }
    expect(await deno.stop("SIGTERM")).toBe(0);
    expect(await bun.stop("SIGTERM")).toBe(0);
  } finally {
    await Promise.all([deno.stop("SIGKILL"), bun.stop("SIGKILL")]);
  }
});

test("`deno task start` serves", async () => {
  const edge = start(["task", "start"], {
    command: DENO,
    cwd: ROOT,
    env: { ...process.env, CRYPTO_EDGE_LOG_LEVEL: "info" },
  });
  try {
    expect(await urlOf(edge)).toBe("http://127.0.0.1:7402");
    const client = createClient({ url: "http://127.0.0.1:7402" });
    expect(await client.createKey(KEY)).toMatchObject({ version: 2 });
  } finally {
    // The task runner passes the signal on.
    await edge.stop("SIGTERM");
  }
});
