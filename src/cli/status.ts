/** `crypto-edge status`: how an edge is, asked of the edge itself. */
import type { Command } from "commander";
import { messageOf } from "../base/errors.ts";
import { EXIT_FAILED } from "./exit-codes.ts";

const DEFAULT_EDGE = "http://127.0.0.1:7402";
const TIMEOUT_MS = 5_000;

export function registerStatus(program: Command): void {
  program
    .command("status")
    .description("how an edge is; exits with 1 when it can't be asked or is not ready")
    .option(
      "-e, --edge <url>",
      "the edge: http://… or unix:PATH, of a listener with `status: true`",
      process.env.CRYPTO_EDGE_URL ?? DEFAULT_EDGE,
    )
    .option("--json", "all of it, as JSON")
    .addHelpText("after", "\nExample:\n  crypto-edge status --edge unix:/run/crypto-edge/billing.sock")
    .action(async (options: { edge: string; json?: boolean }) => {
      const status = await ask(options.edge);
      if (status.ready !== true) process.exitCode = EXIT_FAILED;
      if (options.json) console.log(JSON.stringify(status, null, 2));
      else for (const line of describe(status)) console.log(line);
    });
}

type Status = Readonly<Record<string, unknown>>;

async function ask(edge: string): Promise<Status> {
  const socket = edge.startsWith("unix:") ? edge.slice("unix:".length) : undefined;
  const base = socket === undefined ? edge.replace(/\/+$/, "") : "http://localhost";
  let response: Response;
  try {
    response = await fetch(`${base}/v1/status`, {
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(socket === undefined ? undefined : { unix: socket }),
    });
  } catch (error) {
    throw new Error(`the edge at ${edge} does not answer (${messageOf(error)}): check the address, and that it runs`);
  }
  if (response.status === 404) {
    throw new Error(`the listener at ${edge} does not tell the status: ask one that has "status: true"`);
  }
  if (!response.ok) throw new Error(`the edge at ${edge} answered ${response.status}`);
  return (await response.json()) as Status;
}

function describe(status: Status): string[] {
  const leases = section(status.leases);
  const revocation = section(status.revocation);
  const keyMemory = section(status.keyMemory);
  const usage = section(status.usage);
  const core = section(usage.core);
  const audit = section(usage.audit);
  const transports = (Array.isArray(revocation.transports) ? revocation.transports : []) as Status[];
  const lines: [string, string][] = [
    ["edge", `${status.edge}, version ${status.version}, up ${duration(status.uptimeMs)}`],
    ["ready", status.ready === true ? "yes" : "no"],
    ["source", `${status.source}, circuit ${leases.circuit}, ${leases.callFailures} of ${leases.calls} calls failed`],
    ["leases", `${leases.leases} held, first deadline in ${duration(leases.shortestRemainingMs)}`],
    ["key memory", `${keyMemory.kind}, ${keyMemory.keys} keys`],
    ...transports.map(({ name, connected, reason, lastHeardMs }): [string, string] => [
      "revocation",
      `${name} ${connected === true ? `connected, heard ${duration(lastHeardMs)} ago` : `not connected: ${reason ?? "not yet"}`}`,
    ]),
    ...(usage.core === undefined
      ? []
      : [["usage", `${core.waitingRecords} records wait, oldest ${duration(core.oldestMs)}`] as [string, string]]),
    ...(usage.audit === undefined ? [] : [["audit head", `${audit.seq}:${audit.hash}`] as [string, string]]),
  ];
  return lines.map(([name, text]) => `${name.padEnd(12)}${text}`);
}

function section(value: unknown): Status {
  return typeof value === "object" && value !== null ? (value as Status) : {};
}

function duration(ms: unknown): string {
  if (typeof ms !== "number") return "none";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}
