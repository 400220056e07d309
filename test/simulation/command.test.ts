import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { temporaryFolder } from "../e2e/support/binary.ts";

const ROOT = resolve(import.meta.dir, "../..");

function simulateCommand(args: readonly string[]): { code: number; output: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync([process.execPath, "test/simulation/main.ts", ...args], {
    cwd: ROOT,
  });
  return { code: exitCode, output: stdout.toString() + stderr.toString() };
}

/** The arguments of each `bun run simulate` on the page, in the order of the page. */
function commandsOnPage(): string[][] {
  const page = readFileSync(resolve(ROOT, "docs/resilience.md"), "utf8");
  return [...page.matchAll(/^bun run simulate (.+)$/gm)].map(([, args]) =>
    [...args!.matchAll(/"([^"]+)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!),
  );
}

test("the commands of docs/resilience.md do what it says", () => {
  using folder = temporaryFolder();
  let ran = 0;
  for (const args of commandsOnPage()) {
    ran++;
    if (args[0] === "fleet") {
      // A small one, elsewhere.
      const svg = folder.file("fleet.svg");
      const { code, output } = simulateCommand(["fleet", "--edges", "4", "--keys", "10", "--svg", svg]);
      expect(output).toContain("| fixed tick |");
      expect(readFileSync(svg, "utf8")).toContain("<polyline");
      expect(code).toBe(0);
    } else if (args.includes("--bug")) {
      const { code, output } = simulateCommand(args);
      expect(output).toMatch(/^seed \d+, at .*\n {2}again: bun run simulate --seeds 1 --from \d+ --bug/m);
      expect(code).toBe(1);
    } else {
      const few = args.map((arg, index) => (args[index - 1] === "--seeds" ? "5" : arg));
      const { code, output } = simulateCommand(few);
      const from = args[args.indexOf("--from") + 1];
      expect(output).toContain(`5 histories from seed ${from}: 0 with a violation`);
      expect(code).toBe(0);
    }
  }
  expect(ran).toBeGreaterThanOrEqual(3);
}, 300_000);

test("a mistake on the command line is told, with what there is", () => {
  expect(simulateCommand(["--seeds", "many"])).toMatchObject({
    code: 2,
    output: expect.stringContaining("whole numbers"),
  });
  const { code, output } = simulateCommand(["--bug", "none of that name"]);
  expect(code).toBe(2);
  expect(output).toContain("eviction without wipe");
});
