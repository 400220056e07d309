/** What `crypto-edge version` prints: version, commit, runtime and target. */
import { COMMIT, TARGET, VERSION } from "../base/version.ts";

export function printVersion(asJson: boolean): void {
  const { bun, deno } = process.versions;
  const runtime = bun === undefined ? `Deno ${deno}` : `Bun ${bun}`;
  if (asJson) console.log(JSON.stringify({ version: VERSION, commit: COMMIT, runtime, target: TARGET }));
  else console.log(`crypto-edge ${VERSION} (commit ${COMMIT}, ${runtime}, ${TARGET})`);
}
