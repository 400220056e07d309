/**
 * What a plugin's own code may run that reading it does not show, and so no pin covers: code by a name that is put together while it runs, and
 * libraries that it opens itself. Where a plugin is pinned, its entry has to allow it. Packages in its node_modules are pinned whole; their
 * code is not looked at here. Code that is meant to hide what it does can: this is for plugins that were read before they were pinned.
 */
import { readFileSync } from "node:fs";
import { codeOf, languageOf } from "./imported-files.ts";

/** What an entry of `plugins` may allow. */
export const ALLOWANCES = {
  computed_imports: "loads code by a name that is put together while it runs",
  native_code: "opens libraries by itself",
} as const;
export type Allowance = keyof typeof ALLOWANCES;

export interface UnseenCode {
  readonly allowance: Allowance;
  readonly file: string;
  /** Undefined where it stands in the code otherwise than as it is read. */
  readonly line: number | undefined;
}

/** A name in one piece, and the end of the argument. */
const WHOLE_NAME = String.raw`(["'\x60])(?:(?!\1)[^\\\n$]|\\.|\$(?!\{))*\1\s*[,)]`;
const LOADING = String.raw`(?:\bfrom|\bimport\s*\(|\brequire\s*\(|\bgetBuiltinModule\s*\()\s*["'\x60]`;
const SIGNS: Readonly<Record<Allowance, readonly RegExp[]>> = {
  computed_imports: [
    new RegExp(String.raw`(?:(?<![.\w$])import|\brequire)\s*\(\s*(?!${WHOLE_NAME})`),
    new RegExp(String.raw`\bnew\s+Worker\s*\(\s*(?!(?:new\s+URL\s*\(\s*)?${WHOLE_NAME})`),
    // It makes a `require`, and more that loads.
    new RegExp(String.raw`${LOADING}(?:node:)?module["'\x60]`),
  ],
  native_code: [/\bdlopen\b/, new RegExp(`${LOADING}bun:ffi["'\\x60]`)],
};

/** What is used here of Bun: its compiler leaves comments and types away. */
interface BunCompiler {
  readonly Transpiler: new (options: {
    loader: string;
  }) => {
    transformSync(code: string): string;
  };
}

const bun = (globalThis as { Bun?: BunCompiler }).Bun;

/** Of the plugin's own code, in a file or a folder (a real path): at most one of each kind in a file. */
export function unseenCodeOf(plugin: string): UnseenCode[] {
  return codeOf(plugin).flatMap((file) => {
    const code = withoutCommentLines(readFileSync(file, "utf8"));
    const compiled = compile(file, code);
    return (Object.keys(ALLOWANCES) as Allowance[]).flatMap((allowance): UnseenCode[] => {
      const sign = SIGNS[allowance].find((one) => one.test(compiled));
      if (sign === undefined) return [];
      const at = code.search(sign);
      return [{ allowance, file, line: at < 0 ? undefined : code.slice(0, at).split("\n").length }];
    });
  });
}

function compile(file: string, code: string): string {
  if (bun === undefined) return code;
  try {
    return new bun.Transpiler({ loader: languageOf(file) }).transformSync(code);
  } catch {
    // What can't be compiled does not run either; it is read as it stands.
    return code;
  }
}

function withoutCommentLines(code: string): string {
  return code.replace(/^[ \t]*(?:\/\/|\/?\*).*$/gm, "");
}
