/** What ends a serving process in order: by then its keys are wiped, its socket removed, its audit closed. SIGQUIT is a terminal's Ctrl-\\. */
const STOPPING = ["SIGTERM", "SIGINT", "SIGQUIT"] as const;
const CODES: Readonly<Partial<Record<NodeJS.Signals, number>>> = { SIGINT: 130, SIGQUIT: 131 };

/** Resolves at the first of them; a second one ends the process at once. */
export function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    let asked = false;
    const stop = (signal: NodeJS.Signals): void => {
      if (asked) process.exit(CODES[signal] ?? 143);
      asked = true;
      resolve();
    };
    for (const signal of STOPPING) process.on(signal, stop);
  });
}
