/**
 * What importers of the npm package see, as one text: every declaration that an entry point exports, without comments. A change of it
 * is a change of the interface, so `packaging/npm-api.txt` holds the last one that was agreed to (`bun build.ts --package --accept-api`).
 */
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

/** @param types the folder of the emitted declarations; entries by name, without `.d.ts` */
export function apiReport(types: string, entries: Readonly<Record<string, string>>): string {
  const sections: string[] = [];
  const told = new Map<string, string>();
  for (const [name, entry] of Object.entries(entries)) {
    const lines = exportsOf(types, `${entry}.d.ts`)
      .map(({ exported, file }) => `${exported}  ← ${file.replace(/\.d\.ts$/, "")}`)
      .sort();
    sections.push(`## crypto-edge/${name}\n\n${lines.join("\n")}`);
    for (const { file } of exportsOf(types, `${entry}.d.ts`)) told.set(file, declarationsOf(types, file));
  }
  const files = [...told]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([file, text]) => `### ${file.replace(/\.d\.ts$/, "")}\n\n${text}`);
  return `${[...sections, "## Declarations", ...files].join("\n\n")}\n`;
}

interface Exported {
  readonly exported: string;
  readonly file: string;
}

/** The names that a file exports, with the file of each. */
function exportsOf(types: string, file: string): Exported[] {
  const text = declarationsOf(types, file);
  const found: Exported[] = [];
  for (const [, names, from] of text.matchAll(/^export (?:type )?\{([^}]*)\}(?: from "([^"]+)")?;/gm)) {
    const target = from === undefined ? file : resolveFrom(file, from);
    for (const name of names!
      .split(",")
      .map((part) => part.trim())
      .filter((part) => part !== "")) {
      found.push({ exported: name.replace(/^type /, ""), file: target });
    }
  }
  for (const [, from] of text.matchAll(/^export (?:type )?\* from "([^"]+)";/gm))
    found.push(...exportsOf(types, resolveFrom(file, from!)));
  for (const [, name] of text.matchAll(
    /^export (?:declare )?(?:abstract )?(?:class|function|const|let|interface|type|enum) (\w+)/gm,
  )) {
    found.push({ exported: name!, file });
  }
  return found;
}

function resolveFrom(file: string, specifier: string): string {
  if (!specifier.startsWith(".")) return specifier;
  return normalize(join(dirname(file), specifier.replace(/\.js$/, ".d.ts").replace(/\.mjs$/, ".d.mts")));
}

/** A file's text without comments and empty lines. Foreign ones are theirs. */
function declarationsOf(types: string, file: string): string {
  if (file.includes("vendor/")) return "";
  return readFileSync(join(types, file), "utf8")
    .replace(/\/\*\*?[\s\S]*?\*\//g, "")
    .replace(/^\s*\/\/.*$/gm, "")
    .replace(/[ \t]+$/gm, "")
    .replace(/\n{2,}/g, "\n")
    .trim();
}
