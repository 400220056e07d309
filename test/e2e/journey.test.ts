import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { CryptoEdgeError } from "../../src/sdk/client/index.ts";
import { until } from "../support/until.ts";
import { BINARY, run, start, temporaryFolder } from "./support/binary.ts";
import { Deployment } from "./support/deployment.ts";

const KEY = { tenant: "tenant-a", service: "billing" };

describe("an edge against a Core, as real processes", () => {
  test("opens after its restart what it made before: No-State, Recovery", async () => {
    await using deployment = new Deployment();
    await deployment.startCore();
    deployment.admin("service", "create", "tenant-a", "billing");
    await deployment.startEdge();
    const made = await deployment.client.createKey({ ...KEY, plaintext: true });

    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      const end = await deployment.edge!.stop(signal);
      expect(end).toBe(signal === "SIGTERM" ? 0 : "SIGKILL");
      await deployment.startEdge();
      expect((await deployment.client.decryptKey(made)).plaintext).toEqual(made.plaintext!);
    }
  });

  test("opens after a restart of the Core too, and after rotations; the Core keeps every version", async () => {
    await using deployment = new Deployment();
    await deployment.startCore();
    deployment.admin("service", "create", "tenant-a", "billing");
    await deployment.startEdge();
    const first = await deployment.client.createKey({ ...KEY, plaintext: true });
    deployment.admin("rotate", "tenant-a", "billing");
    const second = await until(async () => {
      const key = await deployment.client.createKey({ ...KEY, plaintext: true });
      return key.version === 2 ? key : undefined;
    });

    await deployment.core!.stop("SIGKILL");
    await deployment.startCore();
    await deployment.edge!.stop();
    await deployment.startEdge();
    for (const key of [first, second]) {
      expect((await deployment.client.decryptKey(key)).plaintext).toEqual(key.plaintext!);
    }
    expect(deployment.admin("service", "list", "tenant-a", "--json")).toContain('"version":2');
  });

  test("makes and opens keys on a held lease while the Core is stopped, and writes no file", async () => {
    await using deployment = new Deployment();
    await deployment.startCore();
    deployment.admin("service", "create", "tenant-a", "billing");
    await deployment.startEdge();
    const made = await deployment.client.createKey({ ...KEY, plaintext: true });
    await deployment.core!.stop("SIGKILL");

    const before = readdirSync(deployment.folder, { recursive: true }).sort();
    for (let round = 0; round < 200; round++) {
      const key = await deployment.client.createKey({ ...KEY, plaintext: true });
      expect((await deployment.client.decryptKey(key)).plaintext).toEqual(key.plaintext!);
    }
    expect((await deployment.client.decryptKey(made)).plaintext).toEqual(made.plaintext!);
    const rewrapped = await deployment.client.rewrapKey(made);
    expect(rewrapped.version).toBe(1);
    // What the edge has no lease for needs the Core, and says so.
    const missing = await deployment.client.createKey({ tenant: "tenant-b" }).catch((error: unknown) => error);
    expect(missing).toBeInstanceOf(CryptoEdgeError);
    expect(missing).toMatchObject({ code: "lease_unavailable" });
    expect((missing as CryptoEdgeError).retryAfterMs).toBeGreaterThan(0);

    expect(readdirSync(deployment.folder, { recursive: true }).sort()).toEqual(before);
    const open = openFiles(deployment.edge!.pid);
    expect(open.filter((path) => path.startsWith(deployment.folder))).toEqual([]);
  });

  test("ends cleanly on SIGTERM: what is in flight finishes, the exit code is 0", async () => {
    await using deployment = new Deployment();
    await deployment.startCore();
    deployment.admin("service", "create", "tenant-a", "billing");
    await deployment.startEdge();
    const calls = Array.from({ length: 50 }, () => deployment.client.createKey(KEY));
    await calls[0];
    const end = deployment.edge!.stop("SIGTERM");
    const results = await Promise.allSettled(calls);
    expect(await end).toBe(0);
    // Each call was answered, or found the door closed; none was cut in the middle.
    for (const result of results) {
      if (result.status === "rejected") expect(String(result.reason)).toContain("No edge answers");
    }
    expect(deployment.edge!.output()).toContain('"msg":"stopped"');
  });
});

describe("crypto-edge dev", () => {
  test("serves within moments; the two calls that it prints work when pasted; Ctrl-C ends it cleanly", async () => {
    const dev = start(["dev", "--port", "0"]);
    await dev.waitFor(/^ready /m);
    const calls = dev.output().match(/^ {2}curl .*$/gm) ?? [];
    expect(calls).toHaveLength(2);
    const cwd = temporaryFolder().path;
    const [created, opened] = calls.map((call) => JSON.parse(run(["-c", call], { command: "sh", cwd }).stdout));
    expect(created).toMatchObject({ wrapped: expect.any(String), version: 1, plaintext: expect.any(String) });
    expect(opened).toMatchObject({ plaintext: expect.any(String), tenant: "tenant-a", service: "billing" });
    const folder = /\/\S*crypto-edge-dev-\w+/.exec(dev.output())![0];
    expect(existsSync(folder)).toBe(true);
    expect(await dev.stop("SIGINT")).toBe(0);
    expect(existsSync(folder)).toBe(false);
  });

  test("names the port that is in use, and the option", async () => {
    const first = start(["dev", "--port", "0"]);
    const [, port] = await first.waitFor(/http:\/\/127\.0\.0\.1:(\d+)/);
    const second = run(["dev", "--port", port!]);
    expect(second.code).toBe(1);
    expect(second.stderr).toContain(`Port ${port} on 127.0.0.1 is in use`);
    expect(second.stderr).toContain("--port");
    expect(await first.stop("SIGINT")).toBe(0);
  });
});

describe("the command line", () => {
  test("tells version, commit, runtime and target", () => {
    const { code, stdout } = run(["version", "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
      commit: expect.stringMatching(/^[0-9a-f]{12}$|^unknown$/),
      runtime: expect.stringMatching(/^Bun \d/),
      target: expect.stringMatching(/^linux-|^darwin-/),
    });
    expect(run(["version"]).stdout).toStartWith("crypto-edge ");
  });

  test("exits 2 when it is used wrongly, 1 when it fails, 0 when it is asked for help", () => {
    expect(run(["no-such-command"]).code).toBe(2);
    expect(run(["serve"]).code).toBe(2);
    expect(run(["seal", "file"]).code).toBe(2);
    expect(run(["dev", "--port", "many"]).code).toBe(2);
    expect(run([]).code).toBe(2);
    expect(run(["serve", "--config", "/nowhere.yaml"]).code).toBe(1);
    expect(run(["inspect", "nonsense"]).code).toBe(1);
    for (const command of [
      [],
      ["dev"],
      ["serve"],
      ["seal"],
      ["open"],
      ["inspect"],
      ["config", "check"],
      ["core"],
      ["pki"],
    ]) {
      const help = run([...command, "--help"]);
      expect(help.code).toBe(0);
      expect(help.stdout).toContain("Usage: crypto-edge");
    }
  });

  test("checks a configuration without starting, by line", () => {
    using folder = temporaryFolder();
    writeFileSync(
      folder.file("edge.yaml"),
      "edge: { id: edge-1 }\nlisteners:\n  - { htp: 127.0.0.1:1, principal: local }\n",
    );
    const checked = run(["config", "check", "edge.yaml"], { cwd: folder.path });
    expect(checked.code).toBe(1);
    expect(checked.stderr).toContain('edge.yaml:3:7: listeners[0].htp: unknown key "htp"; did you mean "http"?');
    expect(checked.stderr).toContain('"key_source" is missing');
    const json = run(["config", "check", "edge.yaml", "--json"], { cwd: folder.path });
    expect(JSON.parse(json.stdout)).toMatchObject({
      ok: false,
      problems: expect.arrayContaining([expect.any(String)]),
    });
  });

  test("measures this machine, and an edge", async () => {
    const dev = start(["dev", "--port", "0"]);
    try {
      const [url] = await dev.waitFor(/http:\/\/127\.0\.0\.1:\d+/);
      const { code, stdout } = run(["bench", "--seconds", "0.5", "--edge", url, "--json"]);
      expect(code).toBe(0);
      const { cipher, edge } = JSON.parse(stdout) as { cipher: { perSecond: number }[]; edge: Record<string, number> };
      expect(cipher).toHaveLength(3);
      for (const { perSecond } of cipher) expect(perSecond).toBeGreaterThan(1000);
      expect(edge.calls).toBeGreaterThan(10);
      expect(edge.p50Ms!).toBeLessThanOrEqual(edge.p99Ms!);
    } finally {
      await dev.stop("SIGINT");
    }
  });

  test("prints the schema of the configuration for an editor", () => {
    expect(JSON.parse(run(["config", "schema"]).stdout)).toMatchObject({ type: "object", properties: { edge: {} } });
  });
});

function openFiles(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).flatMap((descriptor) => {
    try {
      return [readlinkSync(`${folder}/${descriptor}`)];
    } catch {
      // Closed meanwhile.
      return [];
    }
  });
}

test("version --verify says whether the executable is a release's", async () => {
  using folder = temporaryFolder();
  const { createHash } = await import("node:crypto");
  const { readFileSync, writeFileSync } = await import("node:fs");
  const sums = `${folder.path}/SHA256SUMS`;
  const sum = createHash("sha256").update(readFileSync(BINARY)).digest("hex");
  writeFileSync(sums, `${"0".repeat(64)}  other\n${sum}  crypto-edge-linux-x64\n`);
  expect(run(["version", "--verify", sums])).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("is crypto-edge-linux-x64 of"),
  });
  writeFileSync(sums, `${"0".repeat(64)}  other\n`);
  expect(run(["version", "--verify", sums])).toMatchObject({ code: 1, stderr: expect.stringContaining(sum) });
});
