/** Nearly as long as a test may take (scripts/bun.sh): what is waited for comes late on a busy machine. */
const LIMIT_MS = 100_000;

/** Asks again every `everyMs` until `probe` gives something other than false, for at most `timeoutMs`. */
export async function until<T>(
  probe: () => Promise<T | undefined> | T | undefined,
  { timeoutMs = LIMIT_MS, everyMs = 20 } = {},
): Promise<T> {
  const endMs = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const found = await probe();
      if (found !== undefined && found !== false) return found;
    } catch (error) {
      last = error;
    }
    if (performance.now() > endMs)
      throw new Error(`not within ${timeoutMs} ms${last === undefined ? "" : `: ${last}`}`);
    await new Promise((resume) => setTimeout(resume, everyMs));
  }
}

/** Waits until `holds` does, for at most `limitMs`. What it throws ends the wait. */
export async function eventually(
  holds: () => boolean | Promise<boolean>,
  what: string,
  limitMs = LIMIT_MS,
): Promise<void> {
  let failure: { readonly error: unknown } | undefined;
  const probe = async (): Promise<true | undefined> => {
    try {
      return (await holds()) || undefined;
    } catch (error) {
      failure = { error };
      return true;
    }
  };
  await until(probe, { timeoutMs: limitMs }).catch((cause: unknown) => {
    throw new Error(`${what} did not come true within ${limitMs} ms`, { cause });
  });
  if (failure !== undefined) throw failure.error;
}
