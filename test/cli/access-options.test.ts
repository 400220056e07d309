/** How commands are given an address, certificates and a token: the same on each that calls something. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { createProgram } from "../../src/cli/program.ts";
import { ROOT } from "../support/pages.ts";

/** By its whole name, what a command takes. */
function optionsOf(command: Command, before = ""): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const each of command.commands) {
    const name = `${before}${each.name()}`;
    if (each.commands.length > 0) for (const [inner, options] of optionsOf(each, `${name} `)) found.set(inner, options);
    else
      found.set(
        name,
        each.options.map(({ long }) => long!),
      );
  }
  return found;
}

describe("options for access are the same", () => {
  const commands = optionsOf(createProgram());
  const takers = (option: string, except: readonly string[]): string[] =>
    [...commands].filter(([name, options]) => options.includes(option) && !except.includes(name)).map(([name]) => name);

  test("on every command that calls an edge", () => {
    // These name an edge, and call none.
    const edges = takers("--edge", ["context set", "core audit"]);
    expect(edges.sort()).toEqual(["bench", "open", "seal", "status", "top"]);
    for (const name of edges)
      expect([name, commands.get(name)]).toEqual([
        name,
        expect.arrayContaining(["--ca", "--cert", "--key", "--token", "--context"]),
      ]);
  });

  test("on every command that calls a Core, which knows its administrators by their certificates alone", () => {
    const cores = takers("--url", []);
    expect(cores.length).toBeGreaterThan(12);
    for (const name of cores)
      expect([name, commands.get(name)]).toEqual([
        name,
        expect.arrayContaining(["--ca", "--cert", "--key", "--context", "--json"]),
      ]);
  });
});

test("an administrator who has said nothing of certificates is told how to", () => {
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-nobody-"));
  try {
    const { exitCode, stderr } = Bun.spawnSync([process.execPath, join(ROOT, "src/main.ts"), "core", "status"], {
      cwd: folder,
      env: { PATH: process.env.PATH, HOME: folder, XDG_CONFIG_HOME: folder },
    });
    expect(exitCode).toBe(1);
    expect(stderr.toString()).toMatch(
      /^crypto-edge: there is no administrator's certificate here \(pki\/core-admin\.pem\): .*--pki.*--cert.*--context\n$/,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
