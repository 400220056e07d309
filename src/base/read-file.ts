import { readFileSync } from "node:fs";
import { messageOf } from "./errors.ts";

/**
 * The bytes of a file that an operator named.
 *
 * @param what For the message, when the path alone does not say it: `the Core's certificate`.
 * @throws Error "WHAT PATH can't be read (CODE): check the path and its permissions". Never with anything of the file.
 */
export function readFileBytes(path: string, what?: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? messageOf(error);
    const name = what === undefined ? path : `${what} ${path}`;
    throw new Error(`${name} can't be read (${code}): check the path and its permissions`, { cause: error });
  }
}

/** As `readFileBytes`, for a text in UTF-8. */
export function readFileText(path: string, what?: string): string {
  return readFileBytes(path, what).toString("utf8");
}

/** As `readFileText`, without the line's end that an editor leaves: for a secret in a file of its own. */
export function readFileLine(path: string, what?: string): string {
  return readFileText(path, what).replace(/\r?\n$/, "");
}
