/**
 * The OpenAPI document drives a fuzzer (schemathesis, a Python program, installed into a folder of its own) against the
 * running executable: no answer is a failure of the server, and every answer is as the document says.
 */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { startAttackedEdge } from "../support/attacked-edge.ts";

const VERSION = "4.32.5";
/** Kept between runs: it takes longer to install than to run. */
const environment = join(tmpdir(), `crypto-edge-schemathesis-${VERSION}`);
const binary = resolve(import.meta.dir, "../../dist/crypto-edge");
const SECONDS = process.env.FUZZ_SECONDS ?? "45";

const CHECKS = [
  "not_a_server_error",
  "status_code_conformance",
  "content_type_conformance",
  "response_headers_conformance",
  "response_schema_conformance",
  "negative_data_rejection",
  "unsupported_method",
];

function run(command: string, ...args: string[]): { code: number; output: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync([command, ...args], { stdout: "pipe", stderr: "pipe" });
  return { code: exitCode, output: `${stdout}${stderr}` };
}

function install(): string {
  const program = join(environment, "bin/schemathesis");
  if (existsSync(program) && run(program, "--version").code === 0) return program;
  rmSync(environment, { recursive: true, force: true });
  mkdirSync(environment, { recursive: true });
  for (const [command, ...args] of [
    ["python3", "-m", "venv", environment],
    [join(environment, "bin/pip"), "install", "--quiet", "--disable-pip-version-check", `schemathesis==${VERSION}`],
  ] as [string, ...string[]][]) {
    const { code, output } = run(command, ...args);
    if (code !== 0) throw new Error(`${command} ${args.join(" ")} failed:\n${output}`);
  }
  return program;
}

test("no request that a fuzzer makes from the OpenAPI document gets a 5xx, or an answer that the document lacks", async () => {
  const program = install();
  const edge = await startAttackedEdge({ binary: existsSync(binary) ? binary : undefined, tenants: ["*"] });
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-fuzz-"));
  // A body that is too long, or of another type, is rejected too.
  writeFileSync(
    join(folder, "schemathesis.toml"),
    '[checks]\nnegative_data_rejection.expected-statuses = [400, 401, 403, 404, 406, 413, 415, 422, 428, "5xx"]\n',
  );
  try {
    const url = `http://127.0.0.1:${edge.httpPort}`;
    const child = Bun.spawn(
      [
        program,
        "run",
        `${url}/openapi.json`,
        ...["--url", url, "--checks", CHECKS.join(","), "--phases", "examples,coverage,fuzzing"],
        ...["--max-time", SECONDS, "--seed", "1", "--no-color", "--warnings", "off"],
      ],
      {
        cwd: folder,
        env: { ...process.env, HYPOTHESIS_STORAGE_DIRECTORY: join(folder, "hypothesis") },
        stdout: "pipe",
        stderr: "pipe",
      },
    );
    const [output, errors, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    if (code !== 0) throw new Error(`the fuzzer found something:\n${output.slice(-6_000)}\n${errors.slice(-1_000)}`);
    const [, generated = "0"] = /(\d+) generated/.exec(output) ?? [];
    expect(Number(generated)).toBeGreaterThan(300);
    expect(
      edge
        .log()
        .split("\n")
        .filter((line) => line.includes("defect")),
    ).toEqual([]);
  } finally {
    expect(await edge.stop()).toBe(0);
    rmSync(folder, { recursive: true, force: true });
  }
}, 400_000);
