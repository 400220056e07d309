/** Debian's spin, which explores every state of a Promela model. */

export interface Exploration {
  readonly states: number;
  /** How many states broke an assertion; the search ends at the first. */
  readonly errors: number;
  readonly complete: boolean;
}

/** Works in `folder`, which is the caller's. */
export async function exploreModel(folder: string, model: string, ...flags: string[]): Promise<Exploration> {
  await run(folder, "spin", ...flags, "-a", model);
  await run(folder, "gcc", "-O2", "-w", "-DSAFETY", "-DMEMLIM=1000", "-o", "pan", "pan.c");
  const report = await run(folder, "./pan", "-m100000", "-E");
  return {
    states: Number(/(\S+) states, stored/.exec(report)?.[1]),
    errors: Number(/errors: (\d+)/.exec(report)?.[1]),
    complete: !report.includes("Search not completed") && !report.includes("max search depth too small"),
  };
}

async function run(folder: string, ...command: string[]): Promise<string> {
  const child = Bun.spawn(command, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  const [output, errors, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${errors}${output}`);
  return output;
}
