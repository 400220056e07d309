/** What `crypto-edge version` prints: version, commit, runtime and target. */
import { COMMIT, TARGET, VERSION } from "../base/version.ts";
import { print } from "./print.ts";

export function printVersion(asJson: boolean): void {
  print(
    asJson
      ? JSON.stringify({ version: VERSION, commit: COMMIT, runtime: runtime(), target: TARGET })
      : describeVersion(),
  );
}

export function describeVersion(): string {
  return `crypto-edge ${VERSION} (commit ${COMMIT}, ${runtime()}, ${TARGET})`;
}

function runtime(): string {
  const { bun, deno } = process.versions;
  return bun === undefined ? `Deno ${deno}` : `Bun ${bun}`;
}
