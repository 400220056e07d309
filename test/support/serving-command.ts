/** Commands that serve until they are ended, once they say that they are ready. */

export interface ServingCommand {
  readonly child: Bun.Subprocess<"ignore", "pipe", "inherit" | "ignore">;
  /** What it has written so far. */
  told(): string;
}

export interface ServingOptions {
  /** Of what it writes: that it is ready. */
  readonly ready: string;
  readonly cwd?: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stderr?: "inherit" | "ignore";
  /** Told before it is ready, so that it can be ended whatever happens. */
  readonly onStarted?: (child: ServingCommand["child"]) => void;
}

/** @throws Error with what it wrote where it ends before it is ready */
export async function startServing(
  command: readonly string[],
  { ready, cwd, env, stderr = "inherit", onStarted }: ServingOptions,
): Promise<ServingCommand> {
  const child = Bun.spawn([...command], {
    ...(cwd === undefined ? {} : { cwd }),
    env,
    stdin: "ignore",
    stdout: "pipe",
    stderr,
  });
  onStarted?.(child);
  let told = "";
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  while (!told.includes(ready)) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`${command.join(" ")} ended: ${told}`);
    told += value;
  }
  void (async () => {
    for (let part = await reader.read(); !part.done; part = await reader.read()) told += part.value;
  })();
  return { child, told: () => told };
}
