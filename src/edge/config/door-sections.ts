/** The settings of each listener's doors: of the listener's entry, else of `doors:`, else the defaults. */
import { type ConfigurationProblem, decodeConfiguration } from "../../base/config/decode.ts";
import { NATIVE_DOOR } from "../doors/built-in.ts";
import { BUILT_IN_SECTIONS, type DoorEntry } from "./built-in-sections.ts";
import type { Configuration } from "./schema.ts";

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
    const entries = listener.doors.map((name) => ({ name, entry: BUILT_IN_SECTIONS[name] ?? contributed[name] }));
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
