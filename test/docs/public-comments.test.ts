import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import manifest from "../../package.json";

const ROOT = join(import.meta.dir, "../..");
const DECLARATION = /^export (?:declare |abstract |async )*(class|interface|function\*?|type|const|enum) (\w+)/;

interface Declaration {
  readonly name: string;
  readonly file: string;
  /** Whether it is called or constructed. */
  readonly isCalled: boolean;
  /** Empty where there is none. */
  readonly comment: string;
}

/** What a module declares and exports itself. */
function declared(file: string): Declaration[] {
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.flatMap((line, index) => {
    const [, kind = "", name] = DECLARATION.exec(line) ?? [];
    if (name === undefined) return [];
    const before = lines.slice(0, index).filter((each) => !each.startsWith("// biome-ignore"));
    const begin = before.findLastIndex((each) => each.startsWith("/**"));
    const isDocumented = before.at(-1)?.trimEnd().endsWith("*/") === true;
    const isCalled = /^(?:class|function)/.test(kind);
    return [{ name, file, isCalled, comment: isDocumented ? before.slice(begin).join("\n") : "" }];
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

const placeOf = ({ file, name }: Declaration): string => `${file.slice(ROOT.length + 1)}: ${name}`;

/** The code of a comment's example, fenced or up to the next tag. */
function exampleOf(comment: string): string {
  const text = comment.replaceAll(/^ *\*(?: |\/?$)/gm, "");
  const [, example = ""] = /@example([\s\S]*)/.exec(text) ?? [];
  return /```ts\n([\s\S]*?)```/.exec(example)?.[1] ?? example.split(/^@/m)[0]!;
}

/** Whether it is a program, the body of a function, or a part of an object. */
function isCode(text: string): boolean {
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  return [text, `async function example() {\n${text}\n}`, `({\n${text}\n})`].some((wrapped) => {
    try {
      return transpiler.transformSync(wrapped) !== undefined;
    } catch {
      return false;
    }
  });
}

describe.each(Object.entries(manifest.exports))("what others import from crypto-edge of %s", (_, file) => {
  const found = exported(join(ROOT, file));

  test("has a doc comment, whatever it is", () => {
    expect(found.length).toBeGreaterThan(1);
    expect(found.filter(({ comment }) => comment === "").map(placeOf)).toEqual([]);
  });

  test("has an example that uses it, where it is a function or a class", () => {
    const called = found.filter(({ isCalled }) => isCalled);
    expect(called.length).toBeGreaterThan(1);
    const without = called.filter(
      ({ name, comment }) => !exampleOf(comment).toLowerCase().includes(name.toLowerCase()),
    );
    expect(without.map(placeOf)).toEqual([]);
  });

  test("has examples that are code", () => {
    const examples = found.map((each) => ({ ...each, code: exampleOf(each.comment) }));
    expect(
      examples.filter(({ code }) => !isCode(code)).map(({ code, ...each }) => `${placeOf(each)}\n${code}`),
    ).toEqual([]);
    expect(isCode("const = 1;")).toBe(false);
  });
});
