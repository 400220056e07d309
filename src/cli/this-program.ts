/** The command that this process was started with: the executable alone, or a runtime and the program's source. */

export function thisProgram(): string[] {
  const script = process.argv[1];
  const isCompiled = script === undefined || script.startsWith("/$bunfs/") || script.startsWith("B:\\~BUN\\");
  if (isCompiled) return [process.execPath];
  return "Deno" in globalThis ? ofDeno() : [process.execPath, script];
}

/**
 * With its own permissions: a process that Deno starts gets every one (`-A`) unless its arguments name some. Which these are it tells nobody but
 * in the line of the process, which only a process with every permission may read; to start one takes what starting a worker takes.
 */
function ofDeno(): string[] {
  // Loaded here alone: it would stay in the heap that answers requests.
  const { execFileSync } = process.getBuiltinModule("node:child_process");
  const program = `Deno.stdout.writeSync(Deno.readFileSync("/proc/${process.pid}/cmdline"))`;
  const line = execFileSync(process.execPath, ["eval", program], { encoding: "utf8" }).split("\0").slice(0, -1);
  // The program's own arguments come last.
  const own = process.argv.length - 2;
  return [process.execPath, ...line.slice(1, line.length - own)];
}
