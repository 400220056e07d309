import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import manifest from "../../package.json";

const ROOT = join(import.meta.dir, "../..");
const DECLARATION = /^export (?:declare |abstract |async )*(?:class|interface|function\*?|type|const|enum) (\w+)/;

interface Declaration {
  readonly name: string;
  readonly file: string;
  readonly documented: boolean;
}

/** What a module declares and exports itself. */
function declared(file: string): Declaration[] {
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.flatMap((line, index) => {
    const name = DECLARATION.exec(line)?.[1];
    if (name === undefined) return [];
    const before = lines.slice(0, index).findLast((each) => !each.startsWith("// biome-ignore"));
    return [{ name, file, documented: before?.trimEnd().endsWith("*/") === true }];
  });
}

/** What importers of a module get, wherever it is declared; what other packages declare is theirs. */
function exported(file: string): Declaration[] {
  const text = readFileSync(file, "utf8");
  const all = [...text.matchAll(/^export (?:type )?\* from "(\.[^"]+)"/gm)].flatMap(([, from = ""]) =>
    exported(join(dirname(file), from)),
  );
  const named = [...text.matchAll(/^export (?:type )?\{([^}]*)\} from "(\.[^"]+)"/gm)].flatMap(
    ([, names = "", from = ""]) => {
      const there = exported(join(dirname(file), from));
      return names
        .split(",")
        .map(
          (name) =>
            name
              .trim()
              .replace(/^type /, "")
              .split(" as ")[0] ?? "",
        )
        .filter((name) => name !== "")
        .map((name) => {
          const found = there.find((each) => each.name === name);
          if (found === undefined) throw new Error(`${file} exports ${name}, which ${from} does not declare.`);
          return found;
        });
    },
  );
  return [...declared(file), ...all, ...named];
}

describe("what others import has a doc comment, whatever it is", () => {
  for (const [entry, file] of Object.entries(manifest.exports)) {
    test(`crypto-edge${entry.slice(1)}`, () => {
      const found = exported(join(ROOT, file));
      expect(found.length).toBeGreaterThan(1);
      const bare = found.filter(({ documented }) => !documented);
      expect(bare.map((each) => `${each.file.slice(ROOT.length + 1)}: ${each.name}`)).toEqual([]);
    });
  }
});
