/** Names in the paths of doors whose clients write a path from one: matched as they were sent, as all of a path is. */

/** What stands in a path as it is (RFC 3986, 2.3), what would part it, and what no name has. */
const NEVER_ESCAPED = /[A-Za-z0-9._~/\\\p{Cc}-]/u;
const ESCAPES = /(?:%[0-9A-Fa-f]{2})+/g;

/**
 * The name that a segment of a path says. Only what can't stand there as it is may be escaped (some clients escape a colon besides): else
 * one name could be written in many ways, and a filter in front would not know it again. Undefined for what is escaped without need or wrongly.
 */
export function nameInPath(segment: string): string | undefined {
  if (!segment.includes("%")) return segment;
  const rest = segment.replace(ESCAPES, "");
  if (rest.includes("%")) return undefined;
  try {
    for (const [escapes] of segment.matchAll(ESCAPES)) {
      if (NEVER_ESCAPED.test(decodeURIComponent(escapes))) return undefined;
    }
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}
