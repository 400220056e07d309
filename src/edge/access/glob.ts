/** Patterns of policies: literal text in which `*` stands for any characters, also none. There is no escape and no `?`. */
export type Matcher = (text: string) => boolean;

/** Matches in time linear in the text for each part between stars: no regular expression, so nothing to blow up. */
export function compileGlob(pattern: string): Matcher {
  const parts = pattern.split("*");
  const first = parts[0] ?? "";
  if (parts.length === 1) return (text) => text === pattern;
  const last = parts.at(-1) ?? "";
  const middle = parts.slice(1, -1).filter((part) => part !== "");
  if (first === "" && last === "" && middle.length === 0) return () => true;
  return (text) => {
    if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
    const endsAt = text.length - last.length;
    let from = first.length;
    for (const part of middle) {
      const found = text.indexOf(part, from);
      if (found < 0 || found + part.length > endsAt) return false;
      from = found + part.length;
    }
    return true;
  };
}

/**
 * Compiles patterns once, to a function that says whether any of them matches a whole text; `*` stands for any characters, none too.
 * Literal patterns cost one look-up, however many they are.
 *
 * @example
 * ```ts
 * const mayUse = compileGlobs(["tenant-a", "test-*"]);
 * mayUse("test-7"); // true
 * ```
 */
export function compileGlobs(patterns: readonly string[]): Matcher {
  const literals = new Set(patterns.filter((pattern) => !pattern.includes("*")));
  const globs = patterns.filter((pattern) => pattern.includes("*")).map(compileGlob);
  if (globs.length === 0) return (text) => literals.has(text);
  return (text) => literals.has(text) || globs.some((matches) => matches(text));
}
