import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** The compiled executable: `npm run build` made it. */
export const BINARY = process.env.CRYPTO_EDGE_BINARY ?? resolve(import.meta.dir, "../../../dist/crypto-edge");

// Contexts of whoever runs the tests are none of theirs.
process.env.XDG_CONFIG_HOME = mkdtempSync(join(tmpdir(), "crypto-edge-config-"));

/** The edge refuses variables with its prefix that it does not know. */
function environment(): NodeJS.ProcessEnv {
  const { CRYPTO_EDGE_BINARY: _, ...rest } = process.env;
  return rest;
}

export interface Running {
  readonly process: ChildProcess;
  readonly pid: number;
  /** Just before the process was made, on `performance.now()`'s clock. */
  readonly startedMs: number;
  /** Everything that it has printed so far, on both streams. */
  readonly output: () => string;
  /** Waits until the output matches; rejects when the process ends first. */
  waitFor(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  /** Sends a signal and waits for the end; resolves to the exit code, or the signal's name. */
  stop(signal?: NodeJS.Signals): Promise<number | string>;
  /** Resolves at the end, whoever causes it. */
  readonly ended: Promise<number | string>;
}

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** Starts the binary (or another command) as a process of its own. */
export function start(
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; command?: string } = {},
): Running {
  const startedMs = performance.now();
  const child = spawn(options.command ?? BINARY, args, {
    cwd: options.cwd ?? process.cwd(),
    env: options.env ?? environment(),
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  let output = "";
  let onOutput: () => void = () => {};
  const collect = (chunk: Buffer): void => {
    output += chunk.toString();
    onOutput();
  };
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  const ended = new Promise<number | string>((resolveEnded) => {
    child.on("close", (code, signal) => {
      running.delete(child);
      resolveEnded(code ?? signal ?? "unknown");
    });
  });
  return {
    process: child,
    pid: child.pid!,
    startedMs,
    output: () => output,
    ended,
    waitFor(pattern, timeoutMs = 30_000) {
      return new Promise((resolveMatch, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`no ${pattern} within ${timeoutMs} ms in:\n${output}`)),
          timeoutMs,
        );
        const look = (): void => {
          const match = pattern.exec(output);
          if (match === null) return;
          clearTimeout(timer);
          resolveMatch(match);
        };
        onOutput = look;
        look();
        void ended.then((code) => {
          look();
          clearTimeout(timer);
          reject(new Error(`ended with ${code} before ${pattern}:\n${output}`));
        });
      });
    },
    async stop(signal = "SIGTERM") {
      child.kill(signal);
      return ended;
    },
  };
}

/** Runs a command to its end. */
export function run(
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; command?: string; input?: string } = {},
): { code: number; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(options.command ?? BINARY, args, {
    cwd: options.cwd ?? process.cwd(),
    env: options.env ?? environment(),
    input: options.input ?? "",
    encoding: "utf8",
    maxBuffer: 64 * 2 ** 20,
  });
  return { code: status ?? -1, stdout, stderr };
}

/** A folder that goes with the test: `using folder = temporaryFolder()`. */
export function temporaryFolder(): Disposable & { readonly path: string; file(name: string): string } {
  const path = mkdtempSync(join(tmpdir(), "crypto-edge-e2e-"));
  return {
    path,
    file: (name) => join(path, name),
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}
