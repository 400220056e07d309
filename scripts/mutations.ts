/** Small changes of a source file, each a mistake that a tired engineer could make: operators, constants, conditions, statements. */

export interface Mutation {
  /** From 1. */
  readonly line: number;
  readonly from: string;
  readonly to: string;
  /** The whole file with this change. */
  readonly text: string;
}

/** What stands between spaces in formatted code, so that no generic, arrow or type is taken for it. */
const OPERATORS: Readonly<Record<string, string>> = {
  " === ": " !== ",
  " !== ": " === ",
  " < ": " <= ",
  " <= ": " < ",
  " > ": " >= ",
  " >= ": " > ",
  " && ": " || ",
  " || ": " && ",
  " ?? ": " && ",
  " + ": " - ",
  " - ": " + ",
  " * ": " / ",
  " / ": " * ",
  " += ": " -= ",
  " -= ": " += ",
  "++": "--",
  "Math.min(": "Math.max(",
  "Math.max(": "Math.min(",
};
const PATTERN = new RegExp(
  [
    ...Object.keys(OPERATORS).map((operator) => operator.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&")),
    String.raw`\b(?:true|false)\b`,
    String.raw`(?<![\w.])\d[\d_]*(?:\.\d+)?\b`,
    String.raw`(?<=[(\s])!(?=[\w(#])`,
  ].join("|"),
  "g",
);
/** A statement that fits on a line, and that the program still compiles without. */
const STATEMENT =
  /^\s+(?!const\b|let\b|return\b|throw\b|readonly\b|import\b|export\b|type\b|if\b|for\b|super\b|#)[\w(!].*;$/;
/** A guard: `if (…) return …;` or `throw`. */
const GUARD = /^\s+if \(.*\) (?:return|throw|break|continue)\b.*;$/;
const CONDITION = /^(\s+(?:\} else )?if \()(.*)(\).*)$/;

/** Every mutation of the file, in its order. */
export function mutationsOf(source: string): Mutation[] {
  const lines = source.split("\n");
  const code = blanked(source).split("\n");
  const mutations: Mutation[] = [];
  const add = (index: number, from: string, to: string, line: string | undefined): void => {
    const changed = line === undefined ? lines.toSpliced(index, 1) : lines.with(index, line);
    mutations.push({ line: index + 1, from: from.trim(), to: to.trim(), text: changed.join("\n") });
  };
  for (const [index, line] of lines.entries()) {
    const visible = code[index]!;
    if (visible.trim() === "" || isType(code, index)) continue;
    for (const match of visible.matchAll(PATTERN)) {
      const from = match[0];
      const to = replacement(from);
      const after = line.slice(0, match.index) + to + line.slice(match.index + from.length);
      add(index, from, `${to.trim()} in: ${after.trim()}`, after);
    }
    if (GUARD.test(visible) || (STATEMENT.test(visible) && isWhole(code, index) && !isField(code, index)))
      add(index, line, "(nothing)", undefined);
    const condition = CONDITION.exec(line);
    if (condition !== null && balanced(condition[2]!)) {
      for (const value of ["true", "false"])
        add(index, line, `if (${value})`, `${condition[1]}${value}${condition[3]}`);
    }
  }
  return mutations;
}

function replacement(from: string): string {
  if (from === "!") return "";
  if (from === "true" || from === "false") return from === "true" ? "false" : "true";
  // A limit that is one more than it was is no mistake that anyone could see; one of another size is.
  const number = Number(from.replaceAll("_", ""));
  return OPERATORS[from] ?? String(number < 10 ? number + 1 : number * 8);
}

/** The source with comments, strings and regular expressions blanked, at the same places. */
function blanked(source: string): string {
  const token =
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`|(?<=[=(,:]\s*)\/(?![*/])(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/g;
  return source.replace(token, (text) => text.replace(/[^\n]/g, " "));
}

/** Whether a line belongs to an import, an interface or a type, which the runtime never sees. */
function isType(code: readonly string[], index: number): boolean {
  for (let at = index; at >= 0; at--) {
    const line = code[at]!;
    if (at < index && /^[}\])]/.test(line)) return false;
    if (/^(?:export )?(?:interface|type|declare)\b|^import\b|^export (?:type )?[{*]/.test(line)) {
      return at === index || !/;\s*$/.test(line);
    }
    if (/^\S/.test(line) && at < index) return false;
  }
  return false;
}

/** Whether the line declares a field of a class: without it no use of the field compiles. */
function isField(code: readonly string[], index: number): boolean {
  if (!/^ {2}(?:override |readonly |static )*\w+(?::[^=]*)?(?: = .*)?;$/.test(code[index]!.trimEnd())) return false;
  for (let at = index - 1; at >= 0; at--) {
    if (/^\w/.test(code[at]!)) return /^(?:export )?(?:abstract )?class\b/.test(code[at]!);
  }
  return false;
}

/** Whether the statement begins on its line: the one before has ended. */
function isWhole(code: readonly string[], index: number): boolean {
  let before = index - 1;
  while (before >= 0 && code[before]!.trim() === "") before--;
  return before < 0 || /[;{}:]\s*$/.test(code[before]!);
}

function balanced(text: string): boolean {
  let depth = 0;
  for (const character of text) {
    if (character === "(") depth++;
    if (character === ")" && --depth < 0) return false;
  }
  return depth === 0;
}
