/**
 * Pages of documentation as programs: the fenced blocks of a page in their order, and what an HTML comment in the line before a
 * block says of it.
 *
 *     <!-- file: NAME -->         the block is written to that file, next to where the commands run
 *     <!-- stays running -->      the block is one command that serves until the page ends
 *     <!-- not run: REASON -->    neither
 */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

export const ROOT = resolve(import.meta.dir, "../..");

export interface Block {
  readonly language: string;
  readonly text: string;
  readonly file: string | undefined;
  readonly staysRunning: boolean;
  readonly notRun: string | undefined;
}

export function readBlocks(page: string): Block[] {
  const text = readFileSync(join(ROOT, page), "utf8");
  const blocks: Block[] = [];
  for (const match of text.matchAll(/(?:^<!-- ([^\n]*) -->\n)?^```([a-z]*)\n(.*?)^```$/gms)) {
    const [, directive = "", language = "", content = ""] = match;
    const value = (name: string): string | undefined =>
      directive.startsWith(`${name}: `) ? directive.slice(name.length + 2) : undefined;
    blocks.push({
      language,
      text: content,
      file: value("file"),
      staysRunning: directive === "stays running",
      notRun: value("not run"),
    });
  }
  return blocks;
}
