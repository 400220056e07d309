/** Processes of the bench, and the processor time they used: server and client are told apart. */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";

/** Linux counts in hundredths of a second for every program. */
const TICKS_PER_SECOND = 100;

/** Processor seconds that a process has used so far, its threads included, its children not. */
export function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  // The second field is a name in parentheses that may hold anything; count from its end.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Resident memory of a process, in bytes. */
export function residentBytesOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
}

/** Processor seconds that the whole machine spent working, and had. Tells how busy the neighbours were. */
export async function machineCpuSeconds(): Promise<{ busy: number; total: number }> {
  const line = (await readFile("/proc/stat", "latin1")).split("\n")[0]!;
  const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number);
  const total = ticks.reduce((sum, value) => sum + value, 0);
  return { busy: (total - ticks[3]! - ticks[4]!) / TICKS_PER_SECOND, total: total / TICKS_PER_SECOND };
}

/**
 * Where a process of the bench runs: the server on the first core, the client that measures on the last. A load that is
 * not itself measured ("beside") shares the server's core, in the time that the server leaves idle: on the client's core
 * it would make the client late, which counts as the server's latency. What the server itself asks of another ("behind")
 * shares the client's core likewise, in the time that the client leaves idle.
 */
export type Side = "server" | "client" | "beside" | "behind";

/** The command bound to its core. On one core, or without `taskset` and `chrt`, the command as it is. */
export function onCore(side: Side, command: readonly string[]): string[] {
  const cores = availableParallelism();
  if (cores < 2 || Bun.which("taskset") === null) return [...command];
  const core = side === "client" || side === "behind" ? String(cores - 1) : "0";
  const idle = (side === "beside" || side === "behind") && Bun.which("chrt") !== null ? ["chrt", "--idle", "0"] : [];
  return ["taskset", "-c", core, ...idle, ...command];
}

export interface ServerProcess {
  readonly pid: number;
  /** The first line that the server printed, as JSON. */
  readonly ready: Readonly<Record<string, unknown>>;
  /** Writes a line to its standard input. */
  tell(line: string): void;
  stop(): Promise<void>;
}

/** Starts a server of `bench/servers/` and waits for its first line, which says where it listens. */
export async function startServer(
  script: string,
  options: Readonly<Record<string, unknown>> = {},
  cores: Side | "all" = "server",
  settings: ProcessSettings = {},
): Promise<ServerProcess> {
  const path = fileURLToPath(new URL(`../servers/${script}`, import.meta.url));
  return startCommand([process.execPath, path, JSON.stringify(options)], cores, settings);
}

export interface ProcessSettings {
  /** Beside this process's own environment. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Where its standard error goes: a descriptor, or by default this process's own. */
  readonly errors?: number;
}

/** The same for any program that prints one line of JSON once it serves. */
export async function startCommand(
  command: readonly string[],
  cores: Side | "all" = "server",
  { environment, errors }: ProcessSettings = {},
): Promise<ServerProcess> {
  const child = Bun.spawn(cores === "all" ? [...command] : onCore(cores, command), {
    stdin: "pipe",
    stdout: "pipe",
    stderr: errors ?? "inherit",
    ...(environment === undefined ? {} : { env: { ...process.env, ...environment } }),
  });
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  if (value === undefined) throw new Error(`${command.join(" ")} ended before it served: exit ${await child.exited}.`);
  return {
    pid: child.pid,
    ready: JSON.parse(new TextDecoder().decode(value)),
    tell(line) {
      child.stdin.write(`${line}\n`);
      child.stdin.flush();
    },
    async stop() {
      // One that was stopped with SIGSTOP would not hear.
      child.kill("SIGCONT");
      child.kill("SIGTERM");
      const cut = setTimeout(() => child.kill("SIGKILL"), 3000);
      await child.exited;
      clearTimeout(cut);
    },
  };
}
