import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AuditFile, rotatedFiles } from "../../../src/edge/usage/audit-file.ts";
import { AuditLog } from "../../../src/edge/usage/audit-log.ts";
import { verifyAudit } from "../../../src/edge/usage/audit-verify.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

let directory: string;
let path: string;
const warnings: string[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "audit-"));
  path = join(directory, "audit.jsonl");
  warnings.length = 0;
});
afterEach(() => rmSync(directory, { recursive: true }));

function open(options: { maxBytes?: number; keepFiles?: number; maxQueued?: number } = {}) {
  const clock = new VirtualClock();
  const file = new AuditFile({
    path,
    clock,
    maxBytes: options.maxBytes ?? 1e9,
    keepFiles: options.keepFiles ?? 0,
    fsync: "second",
    warn: (message) => warnings.push(message),
  });
  const log = new AuditLog({
    clock,
    edgeId: "edge-1",
    sinks: [file],
    start: file.start,
    writeAfterMs: 100,
    maxQueued: options.maxQueued ?? 100_000,
  });
  const denied = (requestId: string): void =>
    log.append({
      type: "operation",
      time: new Date(clock.wallMs()).toISOString(),
      principal: "billing",
      principalKind: "listener",
      tenant: "tenant-a",
      service: "billing",
      operation: "create",
      outcome: "access_denied",
      reason: 'with "quotes"\nand a line\u2028separator, "hash":"x"}',
      requestId,
      version: 0,
      count: 1,
    });
  return { clock, log, file, denied };
}

function write(lines: number): void {
  const { log, denied } = open();
  for (let index = 0; index < lines; index++) denied(`r-${index}`);
  log.close();
}

const lines = (): string[] => readFileSync(path, "utf8").trimEnd().split("\n");
const rewrite = (changed: readonly string[]): void => writeFileSync(path, `${changed.join("\n")}\n`);

describe("the audit chain", () => {
  test("holds over restarts, and names no problem where there is none", async () => {
    write(3);
    write(2);
    const verdict = await verifyAudit([path]);
    expect(verdict).toMatchObject({ problems: [], notes: [], lines: 9 });
    expect(verdict.head?.seq).toBe(9);
    expect(await verifyAudit([path], verdict.head)).toMatchObject({ problems: [] });
  });

  test("shows a missing line, wherever it was", async () => {
    write(5);
    const all = lines();
    for (let gone = 1; gone < all.length - 1; gone++) {
      rewrite(all.filter((_, index) => index !== gone));
      expect((await verifyAudit([path])).problems).toEqual([expect.stringContaining(`line ${gone + 1} is missing`)]);
    }
  });

  test("shows any altered byte of any line", async () => {
    write(2);
    const text = readFileSync(path);
    for (let at = 0; at < text.length; at += 1) {
      const altered = Buffer.from(text);
      altered[at]! ^= 1;
      writeFileSync(path, altered);
      expect((await verifyAudit([path])).problems.length).toBeGreaterThan(0);
    }
  });

  test("shows lines that were moved, repeated, replaced by others of the same edge, or put in", async () => {
    write(5);
    const all = lines();
    rewrite([all[0]!, all[2]!, all[1]!, ...all.slice(3)]);
    expect((await verifyAudit([path])).problems.length).toBeGreaterThan(0);
    rewrite([...all.slice(0, 3), ...all.slice(2)]);
    expect((await verifyAudit([path])).problems).toEqual([expect.stringContaining("moved or repeated")]);
    rmSync(path);
    write(5);
    const other = lines().map((line) => line);
    rmSync(path);
    const { log, denied } = open();
    denied("another");
    for (let index = 1; index < 5; index++) denied(`r-${index}`);
    log.close();
    rewrite([...lines().slice(0, 3), ...other.slice(3)]);
    expect((await verifyAudit([path])).problems).toEqual([expect.stringContaining("does not continue")]);
  });

  test("shows a line that was cut off, and an end that was cut off, against a head kept elsewhere", async () => {
    write(5);
    const { head } = await verifyAudit([path]);
    const all = lines();
    writeFileSync(path, all.join("\n").slice(0, -10));
    expect((await verifyAudit([path])).problems).toEqual([expect.stringContaining("cut off")]);
    rewrite(all.slice(0, 4));
    const verdict = await verifyAudit([path], head);
    expect(verdict.problems).toEqual([expect.stringContaining("7, is missing")]);
    expect(verdict.notes).toEqual([expect.stringContaining("not a stop")]);
  });

  test("goes on over rotation; a file that is taken away shows, in whatever order the others are given", async () => {
    const { log, denied, clock } = open({ maxBytes: 2000 });
    for (let index = 0; index < 50; index++) {
      denied(`r-${index}`);
      await clock.advance(100);
    }
    log.close();
    const files = [path, ...rotatedFiles(path)];
    expect(files.length).toBeGreaterThan(5);
    expect(await verifyAudit(files)).toMatchObject({ problems: [], notes: [], lines: 52 });
    const { problems } = await verifyAudit(files.filter((_, index) => index !== 3));
    expect(problems).toEqual([expect.stringMatching(/lines \d+ to \d+ are missing/)]);
    write(1);
    expect(await verifyAudit([path, ...rotatedFiles(path)])).toMatchObject({ problems: [], lines: 55 });
  });

  test("keeps as many files as asked", async () => {
    const { log, denied, clock } = open({ maxBytes: 2000, keepFiles: 2 });
    for (let index = 0; index < 50; index++) {
      denied(`r-${index}`);
      await clock.advance(100);
    }
    log.close();
    expect(rotatedFiles(path)).toHaveLength(2);
    const verdict = await verifyAudit([path, ...rotatedFiles(path)]);
    expect(verdict.problems).toEqual([]);
    expect(verdict.notes).toEqual([expect.stringContaining("not given")]);
  });

  test("shows that the edge was killed, with a last line half written", async () => {
    write(2);
    rewrite(lines().slice(0, -1));
    appendFileSync(path, '{"seq":4,"previous":"');
    write(1);
    const verdict = await verifyAudit([path]);
    expect(verdict.problems).toEqual([]);
    expect(verdict.notes).toEqual([expect.stringContaining("killed")]);
    expect(lines().find((line) => line.includes('"seq":4,'))).toContain("cut off 21 bytes");
  });

  test("begins anew beside a file that can't be continued, and says so", async () => {
    write(1);
    rmSync(path);
    writeFileSync(path, '{"seq": not an audit line\n');
    warnings.length = 0;
    write(1);
    expect(warnings).toEqual([expect.stringContaining("a new chain begins")]);
    expect(await verifyAudit([path])).toMatchObject({ problems: [], lines: 3 });
    expect(readdirSync(directory)).toHaveLength(2);
  });

  test("touches nothing that is no audit file, such as a key at a path that was mistaken", () => {
    for (const content of [
      Buffer.from("-----BEGIN PRIVATE KEY-----\nMIG\n"),
      Buffer.alloc(32, 0xa7),
      Buffer.from("x"),
    ]) {
      writeFileSync(path, content);
      expect(() => open()).toThrow("is there and is no audit file");
      expect(readFileSync(path)).toEqual(content);
      expect(readdirSync(directory)).toHaveLength(1);
    }
  });

  test("says in a line of its own how many events did not fit in the buffer", async () => {
    const { log, denied } = open({ maxQueued: 10 });
    for (let index = 0; index < 25; index++) denied(`r-${index}`);
    expect(log.status().dropped).toBe(15);
    log.close();
    expect(JSON.parse(lines().at(-2)!)).toMatchObject({ operation: "drop", keys: 15 });
    expect((await verifyAudit([path])).problems).toEqual([]);
  });
});
