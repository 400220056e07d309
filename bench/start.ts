/** How long the binary takes to say its version, and an edge to its first good answer, on one core. Needs dist/crypto-edge. */
import { existsSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { BenchContext } from "./harness/context.ts";
import { isAnswered, leastConfiguration } from "./harness/loaded.ts";
import { cpuSecondsOf, onCore, residentBytesOf, startServer } from "./harness/processes.ts";
import { median, spread } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about =
  "the binary to its version, an edge to its first answer and to ready with a Core near, memory at start";

export async function run(context: BenchContext): Promise<Row[]> {
  const binary = join(context.root, "dist/crypto-edge");
  if (!existsSync(binary)) throw new Error("dist/crypto-edge is missing: bun run build");
  const core = await startServer("core.ts", { directory: context.directory }, "client");
  context.cleanUp(() => core.stop());
  const socket = join(context.directory, "edge.sock");
  const file = join(context.directory, "edge.yaml");
  writeFileSync(
    file,
    JSON.stringify({
      edge: { id: "edge-bench" },
      key_source: {
        use: "core",
        core: { url: core.ready.url, ca: "ca.pem", cert: "edge.pem", key: "edge.key" },
      },
      cache: { prewarm: [{ tenant: "tenant-a", service: "billing" }] },
      listeners: [{ unix: socket, mode: "0600", principal: "local" }],
      policies: [{ principals: ["local"], tenants: ["*"], services: ["*"], operations: ["create"] }],
      log: { level: "error" },
    }),
    { mode: 0o600 },
  );

  const leastSocket = join(context.directory, "least.sock");
  const least = join(context.directory, "least.yaml");
  writeFileSync(least, JSON.stringify(leastConfiguration(leastSocket)), { mode: 0o600 });

  const version: number[] = [];
  const versionCpu: number[] = [];
  const answered: number[] = [];
  const answeredCpu: number[] = [];
  const ready: number[] = [];
  const resident: number[] = [];
  const runs = context.isGuard ? 5 : 15;
  for (let round = 0; round < runs; round++) {
    const started = performance.now();
    const told = Bun.spawn(onCore("server", [binary, "version"]), { stdout: "ignore", stderr: "inherit" });
    if ((await told.exited) !== 0) throw new Error("crypto-edge version failed");
    version.push(performance.now() - started);
    versionCpu.push(Number(told.resourceUsage()!.cpuTime.total) / 1000);
    const first = await startUntil(binary, least, () => isAnswered(leastSocket), SETTLE_MS);
    answered.push(first.tookMs);
    answeredCpu.push(first.cpuMs);
    resident.push(first.residentBytes / 2 ** 20);
    ready.push((await startUntil(binary, file, () => isReady(socket), 0)).tookMs);
  }
  return [
    row({
      name: "start: binary to version",
      value: median(version),
      unit: "ms",
      goal: { of: "value", atMost: 30 },
      spread: spread(version),
      note: `${median(versionCpu).toFixed(0)} ms of processor time; quickest ${Math.min(...version).toFixed(0)} ms`,
    }),
    row({
      name: "start: serve to the first data key, static source",
      value: median(answered),
      unit: "ms",
      goal: { of: "value", atMost: 90 },
      spread: spread(answered),
      note: `on one core; ${median(answeredCpu).toFixed(0)} ms of processor time; quickest ${Math.min(...answered).toFixed(0)} ms`,
    }),
    row({
      name: "start: serve to ready, a Core near, one lease held",
      value: median(ready),
      unit: "ms",
      goal: { of: "value", atMost: 150 },
      spread: spread(ready),
      note: `quickest ${Math.min(...ready).toFixed(0)} ms`,
    }),
    row({
      name: "start: memory once ready",
      value: median(resident),
      unit: "MiB",
      goal: { of: "value", atMost: 65 },
      spread: spread(resident),
      note: "resident set of the process a second after its first answer, of which some 52 MiB are pages of files (the runtime's code 42), and 9 the process's own",
    }),
  ];
}

/** A first answer may come before the start's code is dropped and its memory given back. */
const SETTLE_MS = 1_000;

async function startUntil(binary: string, file: string, isThere: () => Promise<boolean>, settleMs: number) {
  const started = performance.now();
  const edge = Bun.spawn(onCore("server", [binary, "serve", "--config", file]), {
    stdout: "ignore",
    stderr: "inherit",
  });
  try {
    while (!(await isThere())) {
      if (performance.now() - started > 10_000) throw new Error("The edge was not ready within ten seconds.");
      await Bun.sleep(1);
    }
    const tookMs = performance.now() - started;
    const cpuMs = cpuSecondsOf(edge.pid) * 1000;
    await Bun.sleep(settleMs);
    return { tookMs, cpuMs, residentBytes: residentBytesOf(edge.pid) };
  } finally {
    edge.kill("SIGTERM");
    await edge.exited;
  }
}

/** Asks /readyz over a socket of its own: cheap enough to ask every millisecond. */
function isReady(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("error", () => resolve(false));
    socket.once("connect", () => socket.write("GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
    socket.once("data", (data) => {
      resolve(data.toString().slice(9, 12) === "200");
      socket.destroy();
    });
  });
}
