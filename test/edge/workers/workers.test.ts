import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { systemClock } from "../../../src/base/time/system-clock.ts";
import { superviseWorkers } from "../../../src/edge/workers/supervisor.ts";
import { until } from "../../support/until.ts";

const root = resolve(import.meta.dir, "../../..");
const undos: (() => unknown)[] = [];
afterEach(async () => {
  for (const undo of undos.splice(0).reverse()) await undo();
});

interface Status {
  readonly ready: boolean;
  readonly workers: readonly { readonly worker: number; readonly pid: number }[];
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}

/** `crypto-edge serve` with two workers, as an operator starts it. */
function serve(port: number) {
  const directory = mkdtempSync(join(tmpdir(), "crypto-edge-workers-"));
  undos.push(() => rmSync(directory, { recursive: true }));
  const file = join(directory, "edge.yaml");
  const socket = join(directory, "edge.sock");
  const key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
  const configuration = {
    edge: { id: "edge-w" },
    workers: 2,
    key_source: {
      use: "static",
      static: { keys: [{ tenant: "tenant-a", service: "billing", version: 1, state: "active", key }] },
    },
    listeners: [
      { http: `127.0.0.1:${port}`, principal: "local", status: true },
      { unix: socket, mode: "0600", principal: "local" },
    ],
    policies: [{ principals: ["local"], tenants: ["*"], services: ["*"], operations: ["create", "decrypt"] }],
    plugins: [join(root, "plugins/static")],
    log: { level: "error" },
  };
  writeFileSync(file, JSON.stringify(configuration), { mode: 0o600 });
  const child = Bun.spawn([process.execPath, join(root, "src/main.ts"), "serve", "--config", file], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  undos.push(async () => {
    child.kill("SIGTERM");
    await child.exited;
  });
  return { child, url: `http://127.0.0.1:${port}`, socket };
}

const once = { headers: { connection: "close" } };

/** Asks until the answer is as wished, on a new connection each time: the kernel spreads connections over the workers. */
function statusWhen(url: string, isWished: (status: Status) => boolean): Promise<Status> {
  return until(async () => {
    const status = (await (await fetch(`${url}/v1/status`, once)).json()) as Status;
    return isWished(status) ? status : undefined;
  });
}

const bothServe = (status: Status): boolean => status.ready && status.workers.length === 2;

async function createKey(url: string, unix?: string): Promise<number> {
  const response = await fetch(`${url}/v1/keys/create`, {
    method: "POST",
    headers: { ...once.headers, "content-type": "application/json" },
    body: JSON.stringify({ tenant: "tenant-a", service: "billing" }),
    ...(unix === undefined ? {} : { unix }),
  });
  return response.status;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe("workers", () => {
  test("serve one port together, and one answer tells the metrics of all", async () => {
    const { url, socket } = serve(await freePort());
    const { workers } = await statusWhen(url, bothServe);
    expect(workers.map(({ worker }) => worker)).toEqual([1, 2]);
    expect(new Set(workers.map(({ pid }) => pid)).size).toBe(2);
    for (let call = 0; call < 40; call++) expect(await createKey(url)).toBe(201);
    expect(await createKey("http://localhost", socket)).toBe(201);
    const metrics = await (await fetch(`${url}/metrics`, once)).text();
    const counted = [...metrics.matchAll(/^crypto_edge_keys_total\{worker="(\d)",.*operation="create".*\} (\d+)$/gm)];
    expect(counted.reduce((sum, [, , count]) => sum + Number(count), 0)).toBe(41);
    // Forty connections that all land on one of two workers are one case in a trillion.
    expect(new Set(counted.map(([, worker]) => worker))).toEqual(new Set(["1", "2"]));
  }, 300_000);

  test("are replaced when they die, while the others go on", async () => {
    const { url } = serve(await freePort());
    const before = (await statusWhen(url, bothServe)).workers;
    const killed = before[0]!.pid;
    process.kill(killed, "SIGKILL");
    const after = await statusWhen(
      url,
      (status) => bothServe(status) && status.workers.every(({ pid }) => pid !== killed),
    );
    expect(after.workers.map(({ worker }) => worker)).toEqual([1, 2]);
    expect(after.workers[1]!.pid).toBe(before[1]!.pid);
    expect(await createKey(url)).toBe(201);
  }, 300_000);

  test("end with the supervisor: asked to, or killed", async () => {
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      const { child, url } = serve(await freePort());
      const { workers } = await statusWhen(url, bothServe);
      child.kill(signal);
      expect(await child.exited).toBe(signal === "SIGTERM" ? 0 : 137);
      await until(async () => (workers.some(({ pid }) => isAlive(pid)) ? undefined : true));
    }
  }, 300_000);

  test("do not share a port with a stranger", async () => {
    const taken = Bun.serve({ port: 0, hostname: "127.0.0.1", reusePort: true, fetch: () => new Response() });
    undos.push(() => taken.stop(true));
    const { child } = serve(taken.port!);
    expect(await child.exited).toBe(1);
    expect(await new Response(child.stderr).text()).toContain(`Port ${taken.port} on 127.0.0.1 is in use.`);
  }, 300_000);
});

test("a worker whose program is not there is an error, and nothing is waited for", async () => {
  const silent = { info() {}, warn() {}, error() {} };
  const started = superviseWorkers({
    count: 2,
    command: () => ["/nowhere/crypto-edge"],
    clock: systemClock,
    log: silent,
  });
  await expect(started).rejects.toThrow("cannot be started");
});
