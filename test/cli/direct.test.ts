import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { directCommand } from "../../src/cli/direct.ts";
import { ROOT } from "../support/pages.ts";

const program = (...args: string[]) => Bun.spawnSync([process.execPath, join(ROOT, "src/main.ts"), ...args]);

describe("a command that machines wait for", () => {
  test("is run without the parser in its plain forms, and in no other", () => {
    const plain = [
      ["version"],
      ["version", "--json"],
      ["serve", "--config", "edge.yaml"],
      ["serve", "-c", "edge.yaml"],
      ["serve", "--config", "edge.yaml", "--worker", "2"],
    ];
    for (const args of plain) expect([args, typeof directCommand(args)]).toEqual([args, "function"]);
    const others = [
      [],
      ["--help"],
      ["help", "serve"],
      ["version", "--help"],
      ["version", "--json", "--json"],
      ["serve"],
      ["serve", "--config"],
      ["serve", "--config", "--help"],
      ["serve", "--config=edge.yaml"],
      ["serve", "--config", "a.yaml", "--config", "b.yaml"],
      ["serve", "--config", "edge.yaml", "--worker", "0"],
      ["serve", "--config", "edge.yaml", "--worker", "x"],
      ["serve", "--config", "edge.yaml", "--worker", "1", "more"],
      ["status"],
    ];
    for (const args of others) expect([args, directCommand(args)]).toEqual([args, undefined]);
  });

  test("says the same and ends the same by either way", () => {
    const direct = program("version", "--json");
    // A form that only the parser takes.
    const parsed = program("version", "--json", "--json");
    expect(direct.stdout.toString()).toMatch(/^\{"version":"/);
    expect(parsed.stdout.toString()).toBe(direct.stdout.toString());
    expect([direct.exitCode, parsed.exitCode]).toEqual([0, 0]);

    const missing = program("serve", "--config", "/nowhere/edge.yaml");
    const parsedMissing = program("serve", "--config=/nowhere/edge.yaml");
    expect(missing.stderr.toString()).toStartWith("crypto-edge: ");
    expect(parsedMissing.stderr.toString()).toBe(missing.stderr.toString());
    expect([missing.exitCode, parsedMissing.exitCode]).toEqual([1, 1]);
    expect(program("serve").exitCode).toBe(2);
    expect(program("--help").exitCode).toBe(0);
  });
});
