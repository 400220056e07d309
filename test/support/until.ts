/** Asks again every `everyMs` until `probe` gives something other than false, for at most `timeoutMs`. */
export async function until<T>(
  probe: () => Promise<T | undefined> | T | undefined,
  { timeoutMs = 30_000, everyMs = 20 } = {},
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
