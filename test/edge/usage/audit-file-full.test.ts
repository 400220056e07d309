import { describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { chainLine } from "../../../src/edge/usage/audit-chain.ts";
import { AuditFile } from "../../../src/edge/usage/audit-file.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

test("a full disk costs bounded memory, is said once, and never throws", () => {
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-audit-"));
  const script = resolve(import.meta.dir, "write-beyond-limit.ts");
  try {
    // The system takes no more than 64 KiB, as a full disk would.
    const shell = 'trap \'\' XFSZ; ulimit -f 64; exec "$0" "$@"';
    const child = Bun.spawnSync(["bash", "-c", shell, process.execPath, script, folder]);
    expect(child.stderr.toString()).toBe("");
    const { errors, dropped, warnings } = JSON.parse(child.stdout.toString());
    expect(errors).toBeGreaterThan(30);
    // Eight mebibytes wait; what came after is dropped.
    expect(dropped).toBeGreaterThan(20_000);
    expect(warnings).toEqual([expect.stringContaining("can't be written")]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const SCRIPT = resolve(import.meta.dir, "rotate-without-descriptors.ts");

test("a rotation that can't open the next file keeps the old one: nothing is written elsewhere or lost", () => {
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-audit-"));
  try {
    const child = Bun.spawnSync(["sh", "-c", 'ulimit -n 64; exec "$0" "$@"', process.execPath, SCRIPT, folder]);
    expect(child.stderr.toString()).toBe("");
    const { foreign, errors, dropped } = JSON.parse(child.stdout.toString());
    expect(foreign).toBe("");
    expect(errors).toBeGreaterThan(0);
    expect(dropped).toBe(0);
    const files = readdirSync(folder)
      .filter((name) => name.startsWith("audit.jsonl."))
      .sort();
    const lines = [...files, "audit.jsonl"]
      .flatMap((name) => readFileSync(join(folder, name), "utf8").trim().split("\n"))
      .map((line) => (JSON.parse(line) as { seq: number }).seq);
    expect(files.length).toBeGreaterThan(1);
    expect(lines).toEqual(Array.from({ length: lines.length }, (_, index) => index + 1));
    expect(lines.length).toBe(300);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a rotation never overwrites a file that was put aside", () => {
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-audit-"));
  try {
    const path = join(folder, "audit.jsonl");
    writeFileSync(`${path}.000000000001`, "of another chain\n");
    const warnings: string[] = [];
    const clock = new VirtualClock();
    const warn = (message: string): void => void warnings.push(message);
    const file = new AuditFile({ path, clock, maxBytes: 10, keepFiles: 0, fsync: "rotation", warn });
    // The chain of what was found is damaged, so a new one begins: its first line has number 1 again.
    let { head } = file.start;
    for (let written = 0; written < 3; written++) {
      const chained = chainLine(head, { reason: "x" });
      head = chained.head;
      file.write([chained.line], head);
    }
    file.close();
    const aside = readdirSync(folder).filter((name) =>
      readFileSync(join(folder, name), "utf8").includes("another chain"),
    );
    expect(aside).toHaveLength(1);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a reader of standard output that goes away costs the audit there, not the process", () => {
  const script = resolve(import.meta.dir, "audit-to-stdout.ts");
  const child = Bun.spawnSync(["sh", "-c", `"$0" ${script} | head -1`, process.execPath]);
  expect(child.stderr.toString()).toMatch(
    /^Standard output takes no audit now \(EPIPE\); .+\.\ndropped, and counted\n$/,
  );
});

describe("a file that was moved or deleted while it is written", () => {
  test.each(["deleted", "moved"] as const)(
    "%s: it is noticed, made anew, counted, and the chain goes on",
    async (how) => {
      const folder = mkdtempSync(join(tmpdir(), "crypto-edge-audit-"));
      try {
        const path = join(folder, "logs", "audit.jsonl");
        const warnings: string[] = [];
        const clock = new VirtualClock();
        const warn = (message: string): void => void warnings.push(message);
        const file = new AuditFile({ path, clock, maxBytes: 1e9, keepFiles: 0, fsync: "rotation", warn });
        let { head } = file.start;
        const write = (): void => {
          const chained = chainLine(head, { reason: "x" });
          head = chained.head;
          file.write([chained.line], head);
          file.tick();
        };
        write();
        if (how === "deleted") rmSync(join(folder, "logs"), { recursive: true });
        else renameSync(path, `${path}.away`);
        await clock.advance(1_000);
        file.tick();
        write();
        await clock.advance(1_000);
        write();
        file.close();
        const lines = readFileSync(path, "utf8").trimEnd().split("\n");
        expect(lines.map((line) => (JSON.parse(line) as { seq: number }).seq)).toEqual([2, 3]);
        expect(warnings).toEqual([expect.stringContaining(`was ${how} while it was written`)]);
        expect(file.errors).toBe(1);
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );
});

test("what is no file is refused as one, at once", () => {
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-audit-"));
  const path = join(folder, "fifo");
  expect(Bun.spawnSync(["mkfifo", path]).exitCode).toBe(0);
  const options = { clock: new VirtualClock(), maxBytes: 1e9, keepFiles: 0, fsync: "second", warn() {} } as const;
  for (const each of [path, "/dev/null"])
    expect(() => new AuditFile({ ...options, path: each })).toThrow("is not a file");
  rmSync(folder, { recursive: true });
});
