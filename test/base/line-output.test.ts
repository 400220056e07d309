import { describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const SCRIPT = resolve(import.meta.dir, "write-lines.ts");

/** Runs the script in a shell, with `{}` in its place: it writes many lines to its standard error, and its report to a file. */
function run(shell: string): { readonly report: Record<string, unknown>; readonly folder: string } {
  const folder = mkdtempSync(join(tmpdir(), "line-output-"));
  const command = `"${process.execPath}" "${SCRIPT}" "${folder}/report"`;
  const { exitCode } = Bun.spawnSync(["bash", "-c", shell.replaceAll("{}", command)], { cwd: folder });
  expect(exitCode).toBe(0);
  return { report: JSON.parse(readFileSync(join(folder, "report"), "utf8")), folder };
}

describe("lines to whoever reads them", () => {
  test("come whole and in order, where they are read", () => {
    const { report, folder } = run("{} 2> lines");
    const lines = readFileSync(join(folder, "lines"), "utf8").trimEnd().split("\n");
    expect(report).toMatchObject({ dropped: 0, flushed: true });
    expect(lines.map((line) => Number(line.split(" ")[0]))).toEqual(
      Array.from({ length: 30_000 }, (_, index) => index),
    );
    rmSync(folder, { recursive: true });
  });

  test("never hold up the process when the reader of a pipe stalls; they are dropped beyond a bound, and counted", () => {
    const { report, folder } = run("mkfifo pipe; sleep 1000 < pipe & {} 2> pipe; kill %1");
    expect(report).toMatchObject({ flushed: false, failure: "EAGAIN" });
    expect(report.dropped).toBeGreaterThan(1_000);
    rmSync(folder, { recursive: true });
  });

  test("never hold it up when the reader of a socket stalls", () => {
    const { report, folder } = run(`python3 -c '
import socket, subprocess, sys
ours, theirs = socket.socketpair()
sys.exit(subprocess.call(sys.argv[1:], stderr=theirs))' {}`);
    expect(report).toMatchObject({ flushed: false });
    expect(report.dropped).toBeGreaterThan(1_000);
    rmSync(folder, { recursive: true });
  });

  test("are told of once the reader reads again", () => {
    const { report, folder } = run(
      "mkfifo pipe; ( exec < pipe; while [ ! -e report ]; do sleep 0.02; done; cat > lines ) & {} --until-flushed 2> pipe; wait",
    );
    const lines = readFileSync(join(folder, "lines"), "utf8").trimEnd().split("\n");
    const told = lines.map((line) => /^lost (\d+)$/.exec(line)?.[1]).filter((count) => count !== undefined);
    expect(told.reduce((sum, count) => sum + Number(count), 0)).toBe(report.dropped as number);
    expect(report.dropped).toBeGreaterThan(0);
    rmSync(folder, { recursive: true });
  });

  test("throw nothing on a full disk, and nothing when the reader is gone", () => {
    const full = run("{} 2> /dev/full");
    expect(full.report).toMatchObject({ flushed: false, failure: "ENOSPC" });
    const gone = run("{} 2> >(exec true)");
    expect(gone.report.dropped).toBeGreaterThan(1_000);
    for (const { folder } of [full, gone]) rmSync(folder, { recursive: true });
  });
});
