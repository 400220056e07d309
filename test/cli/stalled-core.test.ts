/** A reader of a Core's output that stalls from the start, or is gone: the Core starts, grants leases and ends all the same. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createAdminClient } from "../../src/core/admin-client.ts";
import { createCoreClients } from "../../src/edge/key-source/core/core-clients.ts";
import { writeCoreFiles } from "../support/core-files.ts";
import { eventually } from "../support/until.ts";

const root = resolve(import.meta.dir, "../..");
const folder = mkdtempSync(join(tmpdir(), "crypto-edge-stalled-core-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A pipe holds 64 KiB: this one is full before the Core writes its first line. */
const STALLED = "mkfifo pipe-$$; sleep 1000 < pipe-$$ & echo $! > sleeper; head -c 65536 /dev/zero > pipe-$$;";

// In each, the Core is the shell's own process, so that a signal for the child is one for the Core.
const READERS: Readonly<Record<string, string>> = {
  "whose standard output is a full pipe": `${STALLED} exec {} > pipe-$$ 2> /dev/null`,
  "whose log is a full pipe": `${STALLED} exec {} 2> pipe-$$ > /dev/null`,
  "both on one such pipe": `${STALLED} exec {} > pipe-$$ 2>&1`,
  "whose readers are gone": "exec {} > >(exec true) 2> >(exec true)",
  "on a full disk": "exec {} > /dev/full 2> /dev/full",
};

for (const [reader, shell] of Object.entries(READERS)) {
  test(`a Core ${reader} starts, grants leases and ends`, async () => {
    const { pki, config, url, watchUrl } = await writeCoreFiles(folder);
    const command = `"${process.execPath}" "${join(root, "src/main.ts")}" core serve --config "${config}"`;
    const child = Bun.spawn(["bash", "-c", shell.replaceAll("{}", command)], { cwd: folder });
    const admin = createAdminClient({ url, certificates: await pki.admin() });
    const edge = createCoreClients({ urls: [url], certificates: await pki.edge("edge-1") });
    try {
      await eventually(
        () =>
          fetch(`${watchUrl}/readyz`).then(
            ({ status }) => status === 200,
            () => false,
          ),
        "the Core being ready",
      );
      // Each change is a line of the log: with what the pipe holds already, far more than it takes.
      for (let index = 0; index < 100; index++) {
        await admin.call("POST", "services", { tenant: "tenant-a", service: `service-${index}` });
      }
      const { versions } = await edge.lease({ tenant: "tenant-a", service: "service-99" });
      expect(versions).toHaveLength(1);
      for (const { key } of versions) key.fill(0);
    } finally {
      admin.close();
      edge.close();
      child.kill("SIGTERM");
      const cut = setTimeout(() => child.kill("SIGKILL"), 60_000);
      expect(await child.exited).toBe(0);
      clearTimeout(cut);
      Bun.spawnSync(["bash", "-c", "[ ! -e sleeper ] || kill $(cat sleeper); rm -f sleeper"], { cwd: folder });
    }
  }, 180_000);
}
