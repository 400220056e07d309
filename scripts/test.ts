/**
 * Runs one group of tests and says how many passed: `unit` needs nothing but this checkout, `e2e` starts the compiled
 * binary (built first), `integration` needs the servers that .ci/run installs. Further arguments go to `bun test`.
 */
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PATHS: Record<string, readonly string[]> = {
  // Files side by side, one for each core: many wait for processes that they start.
  unit: [
    "--parallel",
    "--no-isolate",
    "--path-ignore-patterns=test/e2e/**",
    "--path-ignore-patterns=test/integration/**",
  ],
  e2e: ["test/e2e"],
  integration: ["test/integration"],
};

const [group = "", ...rest] = process.argv.slice(2);
const paths = PATHS[group];
if (paths === undefined) {
  console.error(`Name a group of tests: ${Object.keys(PATHS).join(", ")}.`);
  process.exit(2);
}
if (group === "e2e" && run(["build.ts"]) !== 0) process.exit(1);

const folder = mkdtempSync(join(tmpdir(), "crypto-edge-test-"));
const report = join(folder, "report.xml");
const quiet = process.env.CI === "true" ? ["--only-failures"] : [];
const exitCode = run(["test", ...quiet, "--reporter=junit", `--reporter-outfile=${report}`, ...paths, ...rest]);
const { tests, failures, skipped, failedTests } = readReport();
rmSync(folder, { recursive: true });

const passed = tests - failures - skipped;
// A runner that dies, or runs nothing, has failed, whatever it counted.
const failed = exitCode !== 0 && failures === 0 ? 1 : tests === 0 ? 1 : failures;
console.log(`${group}: ${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`);
for (const line of failedTests) console.log(line);
if (process.env.TEST_SUMMARY !== undefined) {
  appendFileSync(process.env.TEST_SUMMARY, `${passed} ${failed} ${skipped}\n`);
}
// Told again at the end of a whole run, whose last screen is all that some readers see.
if (process.env.TEST_FAILURES !== undefined) {
  appendFileSync(process.env.TEST_FAILURES, failedTests.map((line) => `${line}\n`).join(""));
}
process.exit(failed === 0 ? 0 : 1);

function run(arguments_: readonly string[]): number {
  return Bun.spawnSync(["sh", join(import.meta.dirname, "bun.sh"), ...arguments_], {
    stdio: ["ignore", "inherit", "inherit"],
  }).exitCode;
}

function readReport(): { tests: number; failures: number; skipped: number; failedTests: string[] } {
  let xml = "";
  try {
    xml = readFileSync(report, "utf8");
  } catch {
    // No report: the runner died.
  }
  const head = /<testsuites[^>]*>/.exec(xml)?.[0] ?? "";
  const count = (name: string): number => Number(new RegExp(` ${name}="(\\d+)"`).exec(head)?.[1] ?? 0);
  return { tests: count("tests"), failures: count("failures"), skipped: count("skipped"), failedTests: failedIn(xml) };
}

/** One line for each failed test of a JUnit report: file, groups, name, and the message's first words. */
function failedIn(xml: string): string[] {
  const failed = xml.matchAll(/<testcase ([^>]*[^/])>\s*<failure ([^>]*)>/g);
  return [...failed].map(([, test = "", failure = ""]) => {
    const place = [attribute(test, "classname"), attribute(test, "name")].filter((name) => name !== "").join(" > ");
    const why = [attribute(failure, "type"), attribute(failure, "message")].join(": ").replace(/\s+/g, " ");
    return `FAILED ${attribute(test, "file")}: ${place}: ${why.slice(0, 300)}`;
  });
}

function attribute(of: string, name: string): string {
  const value = new RegExp(`(?:^| )${name}="([^"]*)"`).exec(of)?.[1] ?? "";
  const ENTITIES: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", "#10": "\n" };
  return value.replace(/&([^;]+);/g, (whole, entity: string) => ENTITIES[entity] ?? whole);
}
