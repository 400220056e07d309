/** A reader of the log that stalls, is gone, or whose disk is full: the edge serves, reloads and stops all the same. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { freePort } from "../support/free-port.ts";

const root = resolve(import.meta.dir, "../..");
const folder = mkdtempSync(join(tmpdir(), "crypto-edge-stalled-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A pipe holds 64 KiB. */
const STALLED = "mkfifo pipe-$$; sleep 1000 < pipe-$$ & echo $! > sleeper; head -c 65536 /dev/zero > pipe-$$;";

// In each, the edge is the shell's own process, so that a signal for the child is one for the edge.
const READERS: Readonly<Record<string, string>> = {
  "a pipe that is full from the start, whose reader stalls": `${STALLED} exec {} 2> pipe-$$ > /dev/null`,
  "audit and log on one such pipe": `${STALLED} exec {} 2> pipe-$$ >&2`,
  "a pipe whose reader is gone": "exec {} 2> >(exec true)",
  "a full disk": "exec {} 2> /dev/full > /dev/full",
};

for (const [reader, shell] of Object.entries(READERS)) {
  test(`the edge answers, reloads and stops with ${reader}`, async () => {
    const port = await freePort();
    const file = join(folder, `edge-${port}.yaml`);
    writeFileSync(
      file,
      `edge: { id: edge-test }
key_source:
  use: static
  static: { keys: [{ tenant: tenant-a, service: billing, version: 1, state: active, key: "${"5a".repeat(32)}" }] }
listeners: [{ http: "127.0.0.1:${port}", principal: local }]
plugins: ["${resolve(root, "plugins/static")}"]
key_memory: { dumpable: true }
log: { level: debug }
audit: { operations: all, stdout: true }
policies: [{ principals: [local], tenants: [tenant-a], services: [billing], operations: [create, decrypt] }]`,
    );
    const command = `"${process.execPath}" "${join(root, "src/main.ts")}" serve --config "${file}"`;
    const child = Bun.spawn(["bash", "-c", shell.replaceAll("{}", command)], { cwd: folder });
    try {
      const url = `http://127.0.0.1:${port}`;
      const call = (path: string, body: object): Promise<Response> =>
        fetch(`${url}${path}`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(body),
          signal: AbortSignal.timeout(20_000),
        });
      for (let waited = 0; ; waited++) {
        const ready = await fetch(`${url}/readyz`).catch(() => undefined);
        if (ready?.status === 200) break;
        if (waited > 1_500) throw new Error("the edge did not start");
        await Bun.sleep(20);
      }
      // Each refusal is a line of the log at level debug and one of the audit: several times what a pipe holds.
      for (let index = 0; index < 1_500; index++) {
        const { status } = await call("/v1/keys/create", { tenant: `tenant-${index}`, service: "x".repeat(100) });
        expect(status).toBe(403);
      }
      expect((await call("/v1/keys/create", { tenant: "tenant-a", service: "billing" })).status).toBe(201);
      writeFileSync(file, (await Bun.file(file).text()).replace("[create, decrypt]", "[decrypt]"));
      child.kill("SIGHUP");
      for (let waited = 0; ; waited++) {
        if ((await call("/v1/keys/create", { tenant: "tenant-a", service: "billing" })).status === 403) break;
        if (waited > 1_000) throw new Error("the edge did not reload");
        await Bun.sleep(20);
      }
    } finally {
      child.kill("SIGTERM");
      const cut = setTimeout(() => child.kill("SIGKILL"), 60_000);
      expect(await child.exited).toBe(0);
      clearTimeout(cut);
      Bun.spawnSync(["bash", "-c", "[ ! -e sleeper ] || kill $(cat sleeper); rm -f sleeper"], { cwd: folder });
    }
  }, 300_000);
}
