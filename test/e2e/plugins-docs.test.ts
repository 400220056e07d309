/** docs/plugins.md: its tutorial is run as it stands, and its lists are those of the code. */
import { describe, expect, test } from "bun:test";
import { readFileSync, symlinkSync } from "node:fs";
import { resolve } from "node:path";
import { keySourceRules } from "../../src/sdk/conformance/key-source.ts";
import { auditSinkRules, transportRules } from "../../src/sdk/conformance/other-kinds.ts";
import { BINARY, run, temporaryFolder } from "./support/binary.ts";

const PAGE = readFileSync(resolve(import.meta.dir, "../../docs/plugins.md"), "utf8");
const TUTORIAL = PAGE.slice(PAGE.indexOf("## Your first plugin"), PAGE.indexOf("## The interface"));

/** The tutorial's blocks as one script: commands as they stand, files by the name in their first line. */
function script(): string {
  const blocks = [...TUTORIAL.matchAll(/```(sh|ts|yaml)\n(.*?)```/gs)].map(([, kind, text]) => ({ kind, text: text! }));
  expect(blocks.map(({ kind }) => kind)).toEqual(["sh", "sh", "ts", "yaml", "sh", "sh"]);
  return blocks
    .map(({ kind, text }) => {
      if (kind === "sh") return text;
      const file = /^(?:\/\/|#) (\S+)\n/.exec(text)?.[1];
      return `cat >${file} <<'END_OF_FILE'\n${text}END_OF_FILE\n`;
    })
    .join("\n");
}

test("every step of the first plugin does what the page says", () => {
  using folder = temporaryFolder();
  symlinkSync(BINARY, folder.file("crypto-edge"));
  const environment = { ...process.env, PATH: `${folder.path}:${process.env.PATH}` };
  const { code, stdout, stderr } = run(["-euc", `umask 022\n${script()}`], {
    command: "/bin/sh",
    cwd: folder.path,
    env: environment,
  });
  expect({ code, stderr: code === 0 ? "" : stderr + stdout }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain("7 kept, 0 broken, 1 not tried");
  expect(stderr).toContain(" 2 pass");
  expect(stderr).toContain('unknown key "untill"; did you mean "until"?');
  expect(stderr).toMatch(/its files have SHA-256 [0-9a-f]{64}, but the configuration pins/);
}, 300_000);

test("the night watch of the page refuses, whatever the hour", async () => {
  const { createClient } = await import("../../src/sdk/client/client.ts");
  const { start } = await import("./support/binary.ts");
  using folder = temporaryFolder();
  symlinkSync(BINARY, folder.file("crypto-edge"));
  const environment = { ...process.env, PATH: `${folder.path}:${process.env.PATH}` };
  run(["-euc", `umask 022\n${script()}`], { command: "/bin/sh", cwd: folder.path, env: environment });
  const edge = start(["serve", "--config", folder.file("night-watch/check.yaml")]);
  try {
    const [url] = await edge.waitFor(/http:\/\/127\.0\.0\.1:\d+/);
    const refused = createClient({ url }).createKey({ tenant: "tenant-a" });
    await expect(refused).rejects.toThrow(/No keys are made before \d+:00 UTC. Ask again then. \(night-watch: night\)/);
  } finally {
    await edge.stop();
  }
}, 300_000);

describe("the page lists every rule of the conformance kit, and no other", () => {
  const listed = (of: string): string[] => {
    const kit = PAGE.slice(PAGE.indexOf("## The conformance kit"));
    const line = kit.split("\n").find((each) => each.startsWith(`| ${of} |`))!;
    return [...line.matchAll(/`([a-z-]+)`/g)].map(([, rule]) => rule!);
  };
  const never = undefined as never;
  const rules = {
    "a key source": keySourceRules({ source: never, key: undefined, away: undefined, logged: () => "" }),
    "a revocation transport": transportRules(never, undefined),
    "an audit sink": auditSinkRules(never, undefined),
  };
  for (const [of, found] of Object.entries(rules)) {
    test(of, () => expect(listed(of)).toEqual(found.map(({ rule }) => rule)));
  }
});
