/**
 * A plugin refers to what it imports for as long as it lives, and with it a heap would keep code that no plugin calls once the edge serves:
 * the library of schemas alone is as much as the edge's own way of a request. So a plugin gets functions that go on to it. It is dropped
 * with the rest of the start's code, and loaded again for whoever calls one later. This file imports nothing of it.
 */
import { untilServing } from "../../base/system/start-code.ts";

interface Droppable {
  /** Where the module is, for loading it again. */
  readonly ADDRESS: string;
}

/** The exports of a module that keeps no state and exports no class: functions that go on to it, and what is no function as it is. */
export function droppable<Module extends Droppable>(module: Module): Omit<Module, "ADDRESS"> {
  const { ADDRESS: address, ...rest } = module;
  // Nothing waits where a plugin calls: the module is loaded at once.
  const current = untilServing(module, () => require(address) as Module) as unknown as () => Record<
    string,
    (...given: unknown[]) => unknown
  >;
  const forward =
    (name: string) =>
    (...given: unknown[]): unknown =>
      current()[name]!(...given);
  const forwarded = Object.entries(rest).map(([name, value]) => {
    if (name === "Type") return [name, new Proxy({}, { get: (_, key) => Reflect.get(current()[name]!, key) })];
    return [name, typeof value === "function" ? forward(name) : value];
  });
  return Object.fromEntries(forwarded) as Omit<Module, "ADDRESS">;
}
