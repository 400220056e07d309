/** The settings of each listener's doors: of the listener's entry, else of `doors:`, else the defaults. */
import { type ConfigurationProblem, decodeConfiguration } from "../../base/config/decode.ts";
import { BUILT_IN_DOORS, type DoorEntry, NATIVE_DOOR } from "./built-in-doors.ts";
import type { Configuration, ListenerConfiguration } from "./schema.ts";

/** Fills in sections that stand nowhere with their defaults; what is wrong is returned. */
export function chooseDoorSections(
  configuration: Configuration,
  contributed: Readonly<Record<string, DoorEntry>>,
  directory: string,
): ConfigurationProblem[] {
  const problems: ConfigurationProblem[] = [];
  const sections = configuration.doors as Record<string, unknown>;
  configuration.listeners.forEach((listener, index) => {
    const path = ["listeners", index, "doors"];
    const entries = listener.doors.map((name) => ({ name, entry: BUILT_IN_DOORS[name] ?? contributed[name] }));
    if (new Set(listener.doors).size < listener.doors.length) problems.push({ path, message: "names a door twice" });
    const alone = entries.find(({ entry }) => entry?.transport === "socket");
    if (alone !== undefined && entries.length > 1) {
      problems.push({ path, message: `"${alone.name}" has a protocol of its own: give it a listener to itself` });
    }
    for (const { name, entry } of entries) {
      if (name === NATIVE_DOOR || entry === undefined) continue;
      if (Object.hasOwn(listener, name) || Object.hasOwn(sections, name)) continue;
      const wrong: ConfigurationProblem[] = [];
      const defaults = decodeConfiguration(entry.section, {}, { directory }, wrong);
      if (wrong.length === 0) sections[name] = defaults;
      else {
        const message = `"${name}" needs its section: write "doors: { ${name}: { … } }" (${wrong[0]!.message})`;
        problems.push({ path, message });
      }
    }
  });
  return problems;
}

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
