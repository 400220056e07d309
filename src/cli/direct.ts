/**
 * The two commands that machines wait for, `serve` and `version`, in the forms that machines call them: run without the parser of
 * command lines, which is as much code as an edge's way of a request and would stay in the heap that answers them. Whatever is written
 * in another way goes to the parser, which runs the same commands.
 */

/** What runs the arguments; undefined where they are for the parser. */
export function directCommand(args: readonly string[]): (() => Promise<void>) | undefined {
  const [command, ...rest] = args;
  if (command === "version") {
    const asJson = rest[0] === "--json";
    if (rest.length > (asJson ? 1 : 0)) return undefined;
    return async () => {
      const { printVersion } = await import("./print-version.ts");
      printVersion(asJson);
    };
  }
  if (command !== "serve") return undefined;
  const [option, config, workerOption, worker] = rest;
  if ((option !== "--config" && option !== "-c") || config === undefined || config.startsWith("-")) return undefined;
  const isWorker = rest.length === 4 && workerOption === "--worker" && /^[1-9]\d{0,3}$/.test(worker ?? "");
  if (rest.length !== 2 && !isWorker) return undefined;
  return async () => {
    const { runServe } = await import("./run-serve.ts");
    await runServe({ config, worker: isWorker ? Number(worker) : undefined });
  };
}
