/** `crypto-edge seal FILE`, `crypto-edge open FILE` */
import type { Command } from "commander";
import { isName } from "../base/names.ts";

const DEFAULT_EDGE = "http://127.0.0.1:7402";
const SUFFIX = ".sealed";

interface FileOptions {
  readonly output?: string;
  readonly edge: string;
  readonly force?: boolean;
  readonly quiet?: boolean;
}

export function registerSeal(program: Command): void {
  fileCommand(program, "seal", "encrypt a file under its own data key; the wrapped key goes into the file's header")
    .requiredOption("-t, --tenant <name>", "the tenant whose service key protects the file")
    .option("-s, --service <name>", "the service", "default")
    .addHelpText("after", "\nExample:\n  crypto-edge seal report.pdf --tenant tenant-a        makes report.pdf.sealed")
    .action(async (input: string, options: FileOptions & { tenant: string; service: string }) => {
      const { tenant, service } = options;
      for (const name of [tenant, service]) {
        if (!isName(name))
          program.error(`error: "${name}" is not a name: letters, digits and . _ : -, a letter or digit first`);
      }
      const { sealFile } = await import("../sdk/seal/seal-file.ts");
      const output = options.output ?? (input === "-" ? "-" : input + SUFFIX);
      await run(options, input, output, (job) => sealFile(job, { tenant, service }));
    });

  fileCommand(program, "open", "decrypt a sealed file")
    .addHelpText("after", "\nExample:\n  crypto-edge open report.pdf.sealed -o copy.pdf")
    .action(async (input: string, options: FileOptions) => {
      const named = input.endsWith(SUFFIX) ? input.slice(0, -SUFFIX.length) : undefined;
      const output = options.output ?? (input === "-" ? "-" : named);
      if (output === undefined) program.error(`error: ${input} does not end in ${SUFFIX}: name the output with -o`);
      const { openFile } = await import("../sdk/seal/seal-file.ts");
      const format = await run(options, input, output, openFile);
      if (format === 1) {
        console.error(
          "It is of format 1, which does not commit to its key (docs/sealed-file.md): seal it anew where someone else may have made it.",
        );
      }
    });
}

function fileCommand(program: Command, name: string, description: string): Command {
  return program
    .command(name)
    .argument("<file>", "the file to read, or - for standard input")
    .description(description)
    .option("-o, --output <file>", "the file to write, or - for standard output")
    .option(
      "-e, --edge <url>",
      "the edge: http://…, https://… or unix:PATH",
      process.env.CRYPTO_EDGE_URL ?? DEFAULT_EDGE,
    )
    .option("-f, --force", "replace the output if it exists")
    .option("-q, --quiet", "no progress bar");
}

async function run<Result>(
  options: FileOptions,
  input: string,
  output: string,
  work: (job: import("../sdk/seal/seal-file.ts").FileJob) => Promise<Result>,
): Promise<Result> {
  const { createClient } = await import("../sdk/client/client.ts");
  const progress = process.stderr.isTTY && !options.quiet ? progressBar() : undefined;
  let result: Result;
  try {
    result = await work({
      edge: createClient({ url: options.edge }),
      input,
      output,
      force: options.force ?? false,
      ...(progress === undefined ? {} : { progress }),
    });
  } finally {
    if (progress !== undefined) process.stderr.write("\r\x1b[K");
  }
  if (output !== "-") console.log(output);
  return result;
}

/** Redraws one line on standard error, at most once for each per cent. */
function progressBar(): (doneBytes: number, totalBytes: number | undefined) => void {
  const width = 30;
  let shown = -1;
  return (doneBytes, totalBytes) => {
    if (totalBytes === undefined) return;
    const percent = doneBytes >= totalBytes ? 100 : Math.floor((doneBytes / totalBytes) * 100);
    if (percent === shown) return;
    shown = percent;
    const filled = Math.round((percent / 100) * width);
    process.stderr.write(`\r${"█".repeat(filled)}${"░".repeat(width - filled)} ${String(percent).padStart(3)} %`);
  };
}
