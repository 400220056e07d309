import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { CHAIN_START, chainLine } from "../../src/usage/audit-chain.ts";
import { AuditFile } from "../../src/usage/audit-file.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

test.if(existsSync("/dev/full"))("a full disk costs bounded memory, is said once, and never throws", async () => {
  const warnings: string[] = [];
  const clock = new VirtualClock();
  const file = new AuditFile({
    path: "/dev/full",
    clock,
    maxBytes: 1e9,
    keepFiles: 0,
    fsync: "second",
    warn: (message) => warnings.push(message),
  });
  const { line, head } = chainLine(CHAIN_START, { reason: "x".repeat(1000) });
  const lines = Array.from({ length: 1000 }, () => line);
  for (let round = 0; round < 30; round++) {
    file.write(lines, head);
    file.tick();
  }
  expect(file.errors).toBeGreaterThan(30);
  // Eight mebibytes wait; what came after is dropped.
  expect(file.dropped).toBeGreaterThan(20_000);
  expect(warnings).toEqual([expect.stringContaining("can't be written")]);
  file.close();
});
