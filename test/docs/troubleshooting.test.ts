/** docs/troubleshooting.md: it quotes what the program says, has all that status can say, and names commands that there are. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { createProgram } from "../../src/cli/program.ts";
import { type EdgeState, problemsOf } from "../../src/edge/status.ts";
import type { UsageStatus } from "../../src/edge/usage/usage.ts";
import { ROOT } from "../support/pages.ts";

const page = readFileSync(join(ROOT, "docs/troubleshooting.md"), "utf8");

/** What stands in the first column under a heading, a sentence each. */
function quotedUnder(heading: string): string[] {
  const part = page.slice(page.indexOf(`## ${heading}`)).split(/^## /m)[1]!;
  return [...part.matchAll(/^\| (`[^|]+) \|/gm)].flatMap(([, cell]) =>
    [...cell!.matchAll(/`([^`]+)`/g)].map(([, quoted]) => quoted!),
  );
}

/** `…` stands for what differs. */
function patternOf(quoted: string, other = ".+"): RegExp {
  const parts = quoted.split("…").map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(parts.join(other));
}

/** The program's, and what its package says. */
const sources = ["src", "packaging"].flatMap((folder) =>
  (readdirSync(join(ROOT, folder), { recursive: true }) as string[])
    .filter((name) => name.endsWith(".ts"))
    .map((name) => readFileSync(join(ROOT, folder, name), "utf8").replaceAll('\\"', '"')),
);

/** An edge of which everything is wrong that can be. */
function everyProblem(): string[] {
  const state = (change: { leases: number; stopping: boolean }): EdgeState =>
    ({
      stopping: change.stopping,
      prewarm: [{ tenant: "tenant-a", service: "billing" }],
      isOpen: false,
      revocation: { silent: true, silentMs: 1, transports: [{ name: "nats", connected: false, reason: "refused" }] },
      summary: { leases: change.leases, failing: 2, circuit: "open", shortestRemainingMs: undefined },
      leases: () => [],
    }) as unknown as EdgeState;
  const usage = { audit: { failing: true, dropped: 3 } } as UsageStatus;
  const certificates = [0, 2].map((notAfterMs) => ({
    kind: "certificate" as const,
    role: "the Core",
    file: "edge.pem",
    subject: "",
    notBeforeMs: 0,
    notAfterMs,
  }));
  return [state({ leases: 0, stopping: true }), state({ leases: 5, stopping: false })].flatMap((each) =>
    problemsOf(each, { usage, certificates, nowMs: 1 }),
  );
}

describe("docs/troubleshooting.md", () => {
  const status = quotedUnder("`/readyz` is 503");

  test("has every problem that status and readiness can name, and no other", () => {
    const problems = everyProblem();
    expect(new Set(problems).size).toBeGreaterThan(10);
    const patterns = status.map((quoted) => new RegExp(`^${patternOf(quoted).source}$`));
    expect(problems.filter((problem) => !patterns.some((pattern) => pattern.test(problem)))).toEqual([]);
    expect(status.filter((_, index) => !problems.some((problem) => patterns[index]!.test(problem)))).toEqual([]);
  });

  test("quotes what the program says", () => {
    const quoted = [
      "The log says",
      "It does not start",
      "An upgrade of the Debian package says",
      "A command fails",
    ].flatMap(quotedUnder);
    expect(quoted.length).toBeGreaterThan(20);
    // What differs is a template's part in the source, or the rest of a sentence.
    const missing = quoted.filter((each) => !sources.some((source) => patternOf(each, "[^\\n]*").test(source)));
    expect(missing).toEqual([]);
  });

  test("names commands and options that there are", () => {
    const commands = [...page.matchAll(/crypto-edge ([a-z][^`\n]*)/g)].map(([, words]) => words!.split(" "));
    expect(commands.length).toBeGreaterThan(15);
    const wrong = commands.filter((words) => {
      let command: Command = createProgram();
      for (const [index, word] of words.entries()) {
        const next = command.commands.find((each) => each.name() === word);
        if (next !== undefined) command = next;
        else if (index === 0 || command.commands.length > 0) return true;
        else if (word.startsWith("--") && !command.options.some(({ long }) => long === word)) return true;
      }
      return command.commands.length > 0;
    });
    expect(wrong).toEqual([]);
  });
});
