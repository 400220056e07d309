/** Runs `reload` at each SIGHUP, one at a time; asked for meanwhile, once more after. Returns what ends that. */
export function onReloadSignal(reload: () => Promise<void>): () => void {
  let running = false;
  let askedAgain = false;
  const run = async (): Promise<void> => {
    if (running) {
      askedAgain = true;
      return;
    }
    running = true;
    do {
      askedAgain = false;
      await reload();
    } while (askedAgain);
    running = false;
  };
  const onSignal = (): void => void run();
  process.on("SIGHUP", onSignal);
  return () => void process.off("SIGHUP", onSignal);
}
