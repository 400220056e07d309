import { expect, test } from "bun:test";
import { join } from "node:path";
import { startCoreWorld } from "../../support/core-world.ts";

test("the client works under Deno as it does under Bun: client certificate, kept connections, stream, clear faults", async () => {
  await using world = await startCoreWorld({ createOnFirstUse: true, heartbeatMs: 20 });
  const root = join(import.meta.dir, "../../..");
  const script = join(import.meta.dir, "core-client-under-deno.ts");
  const flags = ["run", "--no-lock", "--node-modules-dir=manual", "--allow-all", script];
  const child = Bun.spawn([join(root, "node_modules/.bin/deno"), ...flags], {
    cwd: root,
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  child.stdin.write(
    JSON.stringify({
      url: world.core.url,
      certificates: await world.pki.edge("edge-deno"),
      expired: await world.pki.edge("edge-deno", {
        notBefore: new Date("2020-01-01"),
        notAfter: new Date("2021-01-01"),
      }),
    }),
  );
  child.stdin.end();
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  expect(await child.exited, err).toBe(0);
  const here = await (await world.client()).lease({ tenant: "tenant-a", service: "billing" });
  expect(JSON.parse(out)).toEqual({
    key: Buffer.from(here.versions[0]!.key).toString("base64"),
    same: true,
    kids: 1,
    events: ["heartbeat", "heartbeat", "heartbeat"],
    refusal: expect.stringContaining("this edge's certificate expired on 2021-01-01"),
  });
}, 300_000);
