/** Records of the npm package on Node, beside one edge, against the AWS Encryption SDK encrypting the same records in the same run. */
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import type { BenchContext } from "./harness/context.ts";
import { startServer } from "./harness/processes.ts";
import { compare, interleave, median, spread } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about =
  "values of 100 bytes sealed and opened on Node: keys reused, kept, and one for each; the AWS Encryption SDK beside it";

/** Installed into a folder of its own for the run, not into the project. */
const AWS_ENCRYPTION_SDK = "@aws-crypto/client-node@5.0.2";
const SDK = "the AWS Encryption SDK with its caching manager";

interface Rates {
  /** Operations per second of processor time. */
  readonly seal: number;
  readonly open: number;
}

interface Seconds {
  readonly clock: number;
  /** Of the application's process. */
  readonly processor: number;
}

interface Own extends Rates {
  /** For 100,000. */
  readonly many: Seconds;
  readonly manyReused: Seconds;
}

export async function run(context: BenchContext): Promise<Row[]> {
  const node = Bun.which("node");
  if (node === null) throw new Error("There is no Node here (https://nodejs.org).");
  const server = await startServer("edge.ts", { unix: join(context.directory, "edge.sock") });
  context.cleanUp(() => server.stop());
  const bundle = await bundleRecords(context);
  const sdk = installSdk(context);
  const json = <T>(script: string, ...given: string[]): T =>
    JSON.parse(execFileSync(node, [script, ...given, String(context.sampleMs)], { encoding: "utf8" })) as T;
  const ownScript = join(context.root, "bench/peers/records.mjs");

  const own: Own[] = [];
  const theirs: Rates[] = [];
  await interleave(
    {
      own: () => own[own.push(json<Own>(ownScript, bundle, `unix:${join(context.directory, "edge.sock")}`)) - 1]!.seal,
      theirs: () => theirs[theirs.push(json<Rates>(sdk)) - 1]!.seal,
    },
    Math.min(context.rounds, 5),
  );
  const unit = "records per second of processor time";
  const rows = (["seal", "open"] as const).flatMap((operation) => {
    const what = operation === "seal" ? "seal under a reused key" : "open with a warm cache";
    const found = own.map((one) => one[operation]);
    const absolute = operation === "seal" ? 100_000 : 20_000;
    return [
      row({
        name: `records: ${what}, on Node`,
        value: median(found),
        unit,
        spread: spread(found),
        goal: { of: "value", atLeast: absolute },
      }),
      row({
        name: `records: ${what}, on Node, against the AWS Encryption SDK`,
        ...compare(
          found,
          theirs.map((one) => one[operation]),
        ),
        baselineName: SDK,
        unit,
        goal: { of: "ratio", atLeast: 20 },
        note: "the same value of 100 bytes, the same context, the data key behind both reused from a cache; no signatures",
      }),
    ];
  });
  const many = own.map((one) => one.many.clock);
  return [
    ...rows,
    row({
      name: "records: sealMany of 100,000, a data key for each, on Node",
      value: median(many),
      unit: "s",
      spread: spread(many),
      goal: { of: "value", atMost: 2 },
      note: `beside one edge, ${seconds(own, "many", "processor")} of the application's processor time; under reused keys ${seconds(own, "manyReused", "clock")}`,
    }),
  ];
}

function seconds(own: readonly Own[], what: "many" | "manyReused", of: keyof Seconds): string {
  return `${median(own.map((one) => one[what][of])).toFixed(2)} s`;
}

/** The client and the records as one file that Node reads. */
async function bundleRecords(context: BenchContext): Promise<string> {
  const outfile = join(context.directory, "records-bundle.mjs");
  await build({
    stdin: {
      contents:
        'export * from "./src/sdk/client/index.ts"; export { createRecords } from "./src/sdk/records/index.ts";',
      resolveDir: context.root,
    },
    bundle: true,
    format: "esm",
    platform: "node",
    outfile,
    logLevel: "error",
  });
  return outfile;
}

/** The script beside its own node_modules. */
function installSdk(context: BenchContext): string {
  const script = join(context.directory, "aws-encryption-sdk.mjs");
  copyFileSync(join(context.root, "bench/peers/aws-encryption-sdk.mjs"), script);
  writeFileSync(join(context.directory, "package.json"), '{ "private": true, "type": "module" }');
  context.say(`installing ${AWS_ENCRYPTION_SDK} for this run…`);
  const install = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", AWS_ENCRYPTION_SDK];
  execFileSync("npm", install, { cwd: context.directory, stdio: ["ignore", "ignore", "pipe"] });
  if (!existsSync(join(context.directory, "node_modules/@aws-crypto/client-node"))) {
    throw new Error(`npm could not install ${AWS_ENCRYPTION_SDK}`);
  }
  return script;
}
