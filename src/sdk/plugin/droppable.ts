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
  const forwarded = Object.entries(exports).map(([key, value]) => {
    if (key === "Type") return [key, new Proxy({}, { get: (_, member) => Reflect.get(current()[key]!, member) })];
    return [key, typeof value === "function" ? forward(key) : value];
  });
  return Object.fromEntries(forwarded) as Exports;
}

/** At once, since nothing waits where a plugin calls. Once bundled, a module's exports have other names: it is known by what it holds. */
function loadAgain(name: string, address: string): object {
  const exported: unknown[] = Object.values(require(address) as object);
  const found = exported.find((value) => {
    const { name: itsName, address: itsAddress } = (value ?? {}) as Partial<Droppable<object>>;
    return itsName === name && itsAddress === address;
  });
  return (found as Droppable<object>).exports;
}
