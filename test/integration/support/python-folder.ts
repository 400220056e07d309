/** A virtual environment with packages from PyPI, made once on a machine for each list. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./npm-folder.ts";

const INSTALL_TIMEOUT_MS = 300_000;

/** @returns the environment's folder: `bin/python` in it */
export function pythonFolder(packages: readonly string[]): string {
  const name = createHash("sha256").update(JSON.stringify(packages)).digest("hex").slice(0, 16);
  const folder = join(tmpdir(), "crypto-edge-python", name);
  const done = join(folder, "installed");
  if (existsSync(done)) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(tmpdir(), "crypto-edge-python"), { recursive: true });
  run(["python3", "-m", "venv", folder], tmpdir());
  run(
    [join(folder, "bin/pip"), "install", "--quiet", "--disable-pip-version-check", ...packages],
    tmpdir(),
    {},
    INSTALL_TIMEOUT_MS,
  );
  writeFileSync(done, "");
  return folder;
}
