/** `crypto-edge status`: how an edge is, asked of the edge itself. */
import type { Command } from "commander";
import { callingEdge, type EdgeOptions, edgeAccess } from "./context.ts";
import { EXIT_FAILED } from "./exit-codes.ts";
import { print } from "./print.ts";

export function registerStatus(program: Command): void {
  callingEdge(
    program.command("status").description("how an edge is; exits with 1 when it can't be asked or is not ready"),
  )
    .option("--json", "all of it, as JSON")
    .addHelpText("after", "\nExample:\n  crypto-edge status --edge http://127.0.0.1:7402")
    .action(async (options: EdgeOptions & { json?: boolean }) => {
      const { askerOf } = await import("./ask-edge.ts");
      const asker = askerOf(edgeAccess(options));
      const status = JSON.parse(await asker.text("/v1/status")) as Status;
      asker.close();
      if (status.ready !== true) process.exitCode = EXIT_FAILED;
      if (options.json) print(JSON.stringify(status, null, 2));
      else for (const line of describe(status)) print(line);
    });
}

type Status = Readonly<Record<string, unknown>>;

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
    ...(Array.isArray(status.problems) ? status.problems : []).map((problem): [string, string] => [
      "problem",
      String(problem),
    ]),
    ["source", `${status.source}, circuit ${leases.circuit}, ${leases.callFailures} of ${leases.calls} calls failed`],
    ["leases", `${leases.leases} held, first deadline in ${duration(leases.shortestRemainingMs)}`],
    ...(Array.isArray(status.certificates) ? (status.certificates as Status[]) : []).map(
      ({ role, file, ends }): [string, string] => ["certificate", `${file} of ${role}, until ${ends}`],
    ),
    ["key memory", `${keyMemory.kind}, ${keyMemory.keys} keys`],
    ...(transports.length === 0
      ? [["revocation", "no transport: revocations are found when leases are renewed"] as [string, string]]
      : []),
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
