/**
 * Loaded before a program (`bun --preload`): at SIGUSR2 it prints, as a line of JSON on standard error, what is live in the heap. Counts are
 * exact, so they may be held by tests where times may not.
 */
import { heapStats } from "bun:jsc";

/** In a row, that find as many functions as the one before. */
const ALIKE = 10;
const ROUNDS_MAX = 200;

process.on("SIGUSR2", async () => {
  // A first answer may come before the start's code is dropped, on a busy machine long before, and what is on the stack while a collection runs
  // stays until the next.
  let before = -1;
  for (let round = 0, alike = 0; alike < ALIKE && round < ROUNDS_MAX; round++) {
    await Bun.sleep(50);
    Bun.gc(true);
    const { FunctionExecutable: now = 0 } = heapStats().objectTypeCounts;
    alike = now === before ? alike + 1 : 0;
    before = now;
  }
  const { heapSize, extraMemorySize, objectTypeCounts } = heapStats();
  const {
    FunctionExecutable: functions = 0,
    FunctionCodeBlock: codeBlocks = 0,
    ModuleRecord: modules = 0,
  } = objectTypeCounts;
  const packages = new Set(
    Object.keys(require.cache).flatMap((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? []),
  );
  const found = {
    functions,
    codeBlocks,
    modules,
    heapBytes: heapSize,
    outsideBytes: extraMemorySize,
    packages: [...packages].toSorted(),
  };
  console.error(`heap ${JSON.stringify(found)}`);
});
