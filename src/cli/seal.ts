/** `crypto-edge seal FILE`, `crypto-edge open FILE` */
import type { Command } from "commander";
import { messageOf } from "../base/errors.ts";
import { isName } from "../base/names.ts";
import { callingEdge, clientOptions, type EdgeOptions, edgeAccess, type NamedOptions, namesFrom } from "./context.ts";
import { print } from "./print.ts";

const SUFFIX = ".sealed";

interface FileOptions extends EdgeOptions {
  readonly output?: string;
  readonly force?: boolean;
  readonly quiet?: boolean;
}

export function registerSeal(program: Command): void {
  fileCommand(program, "seal", "encrypt a file under its own data key; the wrapped key goes into the file's header")
    .option("-t, --tenant <name>", "the tenant whose service key protects the file (default: the context's)")
    .option("-s, --service <name>", "the service (default: the context's, or default)")
    .addHelpText("after", "\nExample:\n  crypto-edge seal report.pdf --tenant tenant-a        makes report.pdf.sealed")
    .action(async (input: string, options: FileOptions & NamedOptions) => {
      const { tenant, service } = named(program, options);
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
  return callingEdge(
    program
      .command(name)
      .argument("<file>", "the file to read, or - for standard input")
      .description(description)
      .option("-o, --output <file>", "the file to write, or - for standard output")
      .option("-f, --force", "replace the output if it exists")
      .option("-q, --quiet", "no progress bar"),
  );
}

/** Without a tenant the command was used wrongly. */
function named(program: Command, options: NamedOptions): { tenant: string; service: string } {
  try {
    return namesFrom(options);
  } catch (error) {
    program.error(`error: ${messageOf(error)}`);
  }
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
      edge: createClient(clientOptions(edgeAccess(options))),
      input,
      output,
      force: options.force ?? false,
      ...(progress === undefined ? {} : { progress }),
    });
  } finally {
    if (progress !== undefined) process.stderr.write("\r\x1b[K");
  }
  if (output !== "-") print(output);
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
