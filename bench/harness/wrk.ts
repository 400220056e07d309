/** Drives `wrk` (Debian's package), the load generator where it can be used: TCP, as fast as the server answers. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LoadResult } from "./generator.ts";
import { onCore } from "./processes.ts";

export interface WrkOptions {
  readonly port: number;
  readonly path: string;
  readonly body: string;
  readonly contentType?: string;
  /** Further ones. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly connections: number;
  readonly seconds: number;
}

const DONE = `
done = function(summary, latency)
  io.write(string.format("result %d %d %d %f %f %f %f\\n", summary.requests, summary.duration,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
`;

export async function runWrk(options: WrkOptions): Promise<LoadResult> {
  const directory = mkdtempSync(join(tmpdir(), "crypto-edge-wrk-"));
  try {
    const script = join(directory, "request.lua");
    const headers = Object.entries({ "Content-Type": options.contentType ?? "application/json", ...options.headers })
      .map(([name, value]) => `wrk.headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}`)
      .join("\n");
    writeFileSync(script, `wrk.method = "POST"\nwrk.body = ${JSON.stringify(options.body)}\n${headers}\n${DONE}`);
    const command = onCore("client", [
      "wrk",
      "-t1",
      `-c${options.connections}`,
      `-d${Math.max(1, Math.round(options.seconds))}s`,
      `-s${script}`,
      `http://127.0.0.1:${options.port}${options.path}`,
    ]);
    if (Bun.which("wrk") === null) throw new Error("wrk is not installed: apt-get install wrk");
    const child = Bun.spawn(command, { stdout: "pipe", stderr: "inherit" });
    const output = await new Response(child.stdout).text();
    await child.exited;
    const figures = /^result (.+)$/m.exec(output)?.[1]?.split(" ").map(Number);
    if (figures === undefined) throw new Error(`wrk printed no result:\n${output}`);
    const [requests, durationUs, errors, p50, p99, p999, max] = figures as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const usage = child.resourceUsage()!;
    const cpuSeconds = Number(usage.cpuTime.total) / 1e6;
    return {
      requestsPerSecond: requests / (durationUs / 1e6),
      requests,
      errors,
      latencyMs: { p50: p50 / 1000, p99: p99 / 1000, p999: p999 / 1000, max: max / 1000 },
      lateMs: { p99: 0, p999: 0 },
      clientCores: cpuSeconds / (durationUs / 1e6),
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
