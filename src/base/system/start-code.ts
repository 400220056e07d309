/** What a process holds of its start once it serves. */

/** The runtime's modules by their addresses; undefined on a runtime that does not show them (Deno). */
const registry: Record<string, unknown> | undefined = typeof Bun === "undefined" ? undefined : require.cache;

/** The program's own modules: compiled, or from source with the packages that only its readers need. Those of plugins stay. */
const OWN =
  /^\/\$bunfs\/|\/src\/(?:base|cli|edge|sdk)\/[^:]*\.ts$|\/node_modules\/(?:yaml|@sinclair\/typebox|tsyringe|tslib)\//;

let isOver = false;
const atTheEnd: (() => void)[] = [];

/**
 * Runs what the start alone needs: the modules that it is the first to load are dropped by `dropStartCode`, unless what stays refers to
 * them. So load before it what stays. A dropped module that is imported again is made anew: none that keeps a state may be loaded here first.
 */
export async function runForStart<Result>(run: () => Promise<Result>): Promise<Result> {
  if (registry === undefined || isOver) return run();
  const before = new Set(Object.keys(registry));
  const result = await run();
  const loaded = Object.keys(registry).filter((address) => !before.has(address) && OWN.test(address));
  whenServing(() => {
    for (const address of loaded) Reflect.deleteProperty(registry, address);
  });
  return result;
}

/** Calls it when the process has started, before it drops its start's code; never where that is over. */
function whenServing(call: () => void): void {
  if (!isOver) atTheEnd.push(call);
}

/** A value that the start needs; after `dropStartCode` what `after` makes. So that what outlives the start does not keep the value. */
export function untilServing<Value>(value: Value, after: () => Value): () => Value {
  let held: { readonly value: Value } | undefined = { value };
  whenServing(() => {
    held = undefined;
  });
  return () => (held === undefined ? after() : held.value);
}

/**
 * Drops the code that has run so far, which the start needed and nothing after it: what is called again is made again when it is. Takes
 * some milliseconds, and two MiB off the resident memory of an edge. Does nothing on runtimes that can't.
 */
export function dropStartCode(): void {
  isOver = true;
  for (const end of atTheEnd.splice(0)) end();
  if (typeof Bun !== "undefined") Bun.shrink();
}
