/**
 * A plugin refers to what it imports for as long as it lives, and with it a heap would keep code that no plugin calls once the edge serves:
 * the library of schemas alone is as much as the edge's own way of a request. So a plugin gets functions that go on to it. It is dropped
 * with the rest of the start's code, and loaded again for whoever calls one later. This file imports nothing of it.
 */
import { untilServing } from "../../base/system/start-code.ts";

/** What a module offers that keeps no state and exports no class. */
export interface Droppable<Exports extends object> {
  readonly name: string;
  /** Where the module is (`import.meta.url`), for loading it again. */
  readonly address: string;
  readonly exports: Exports;
}

/** The exports: functions that go on to the module, and what is no function as it is. */
export function droppable<Exports extends object>({ name, address, exports }: Droppable<Exports>): Exports {
  const current = untilServing<object>(exports, () => loadAgain(name, address)) as () => Record<
    string,
    (...given: unknown[]) => unknown
  >;
  const forward =
    (key: string) =>
    (...given: unknown[]): unknown =>
      current()[key]!(...given);
  const forwarded: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(exports)) {
    if (key === "Type") forwarded[key] = new Proxy({}, { get: (_, member) => Reflect.get(current()[key]!, member) });
    else forwarded[key] = typeof value === "function" ? forward(key) : value;
  }
  return forwarded as Exports;
}

/** At once, since nothing waits where a plugin calls. Once bundled, a module's exports have other names: it is known by what it holds. */
function loadAgain(name: string, address: string): object {
  for (const value of Object.values(require(address) as object)) {
    const found = (value ?? {}) as Partial<Droppable<object>>;
    if (found.name === name && found.address === address) return found.exports!;
  }
  throw new Error(`the module ${name} is not at ${address}`);
}
