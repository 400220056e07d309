/** What ends a serving process in order: by then its keys are wiped, its socket removed, its audit closed. SIGQUIT is a terminal's Ctrl-\\. */
const STOPPING = ["SIGTERM", "SIGINT", "SIGQUIT"] as const;
const CODES: Readonly<Partial<Record<NodeJS.Signals, number>>> = { SIGINT: 130, SIGQUIT: 131 };

export interface StopSignal {
  /** Resolves at the first signal after `serving`; one more ends the process at once. */
  readonly asked: Promise<void>;
  /**
   * From now on there is something to end in order. Before, a signal ends the process at once, whatever the start waits for: what it has
   * begun is bound to the process.
   */
  serving(): void;
}

export function stopSignal(): StopSignal {
  let isServing = false;
  const asked = new Promise<void>((resolve) => {
    let wasAsked = false;
    const stop = (signal: NodeJS.Signals): void => {
      if (wasAsked || !isServing) process.exit(CODES[signal] ?? 143);
      wasAsked = true;
      resolve();
    };
    for (const signal of STOPPING) process.on(signal, stop);
  });
  return {
    asked,
    serving() {
      isServing = true;
    },
  };
}
