import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseConfiguration } from "../../src/edge/config/load.ts";

const root = resolve(import.meta.dir, "../..");
const folder = mkdtempSync(join(tmpdir(), "crypto-edge-reload-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("SIGHUP takes the policies anew, and keeps the old ones where the file is no good", async () => {
  const file = join(folder, "edge.yaml");
  const write = (policy: string): void =>
    writeFileSync(
      file,
      `edge: { id: edge-test }
key_source:
  use: static
  static: { keys: [{ tenant: tenant-a, service: billing, version: 1, state: active, key: "${"5a".repeat(32)}" }] }
listeners: [{ http: "127.0.0.1:0", principal: local }]
plugins: ["${resolve(root, "plugins/static")}"]
key_memory: { dumpable: true }
policies: [${policy}]`,
    );
  const allow = "{ principals: [local], tenants: [tenant-a], services: [billing], operations: [create] }";
  write("");
  const child = Bun.spawn([process.execPath, join(root, "src/main.ts"), "serve", "--config", file], {
    stdout: "ignore",
    stderr: Bun.file(join(folder, "log")),
  });
  try {
    const log = (): string => readFileSync(join(folder, "log"), "utf8");
    const waitFor = async (pattern: RegExp): Promise<RegExpExecArray> => {
      for (let waited = 0; waited < 1_000; waited++) {
        const match = pattern.exec(log());
        if (match !== null) return match;
        await Bun.sleep(20);
      }
      throw new Error(`no ${pattern} in:\n${log()}`);
    };
    const [, url] = await waitFor(/"addresses":\["(http:[^"]+)"/);
    const create = async (): Promise<number> =>
      (
        await fetch(`${url}/v1/keys/create`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ tenant: "tenant-a", service: "billing" }),
        })
      ).status;
    expect(await create()).toBe(403);

    write(allow);
    child.kill("SIGHUP");
    await waitFor(/"msg":"reloaded"/);
    expect(await create()).toBe(201);

    // What logrotate, dd and others send is none of their business.
    for (const signal of ["SIGUSR1", "SIGUSR2", "SIGALRM", "SIGPIPE"] as const) {
      child.kill(signal);
      await Bun.sleep(50);
      expect([signal, await create()]).toEqual([signal, 201]);
    }

    write("{ principals: [loacl] }");
    child.kill("SIGHUP");
    await waitFor(/the configuration was not reloaded/);
    expect(await create()).toBe(201);
  } finally {
    // As SIGTERM: in order, so that keys are wiped and sockets removed.
    child.kill("SIGQUIT");
    expect(await child.exited).toBe(0);
  }
}, 40_000);

test("the configuration of docs/security.md has no mistake", () => {
  const [, example = ""] =
    /```yaml\n(listeners:[\s\S]*?)```/.exec(readFileSync(join(root, "docs/security.md"), "utf8")) ?? [];
  expect(example).toContain("https: 0.0.0.0:7443");
  const text = `edge: { id: e }\nkey_source: { use: core, core: { url: "https://core.example", ca: a, cert: b, key: c } }\n${example}`;
  expect(parseConfiguration(text, join(folder, "edge.yaml")).check().policies.length).toBe(2);
});
