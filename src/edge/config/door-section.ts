import type { Configuration, ListenerConfiguration } from "./schema.ts";

/** The section of a door that a listener names, and where it stands in the file. */
export function doorSection(
  { doors }: Configuration,
  listener: ListenerConfiguration,
  index: number,
  name: string,
): { readonly section: unknown; readonly path: readonly (string | number)[] } {
  const own = (listener as Record<string, unknown>)[name];
  return own === undefined
    ? { section: (doors as Record<string, unknown>)[name], path: ["doors", name] }
    : { section: own, path: ["listeners", index, name] };
}
