/** Resolves after so long, or when the signal aborts. `start` begins the timer: `quietTimeout` where nothing is kept alive by it. */
export function pause(
  ms: number,
  signal: AbortSignal,
  start: (callback: () => void, ms: number) => ReturnType<typeof setTimeout> = setTimeout,
): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = start(end, ms);
    signal.addEventListener("abort", end, { once: true });
  });
}

/** A timer that does not keep the process alive, where the runtime can say so. */
export function quietTimeout(callback: () => void, ms: number): ReturnType<typeof setTimeout> {
  const timer = setTimeout(callback, ms);
  (timer as { unref?: () => void }).unref?.();
  return timer;
}
