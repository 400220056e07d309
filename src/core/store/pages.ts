/** Lists that grow with the fleet, read some rows at a time with everyone else's calls in between. */
import { yieldToEventLoop } from "../../base/time/turns.ts";

/** Read in about half a millisecond. */
const PAGE_ROWS = 500;

/** All rows, in the order of `page`, which gives at most `limit` of those after `last` (undefined at the beginning). */
export async function allInPages<Row>(
  page: (last: Row | undefined, limit: number) => Promise<Row[]>,
  limit = Number.POSITIVE_INFINITY,
): Promise<Row[]> {
  const all: Row[] = [];
  for await (const rows of pagesOf(page, limit)) all.push(...rows);
  return all;
}

/** Likewise, for what keeps no more of the rows than it makes of them: each page in a turn of its own. */
export async function* pagesOf<Row>(
  page: (last: Row | undefined, limit: number) => Promise<Row[]>,
  limit = Number.POSITIVE_INFINITY,
): AsyncGenerator<Row[]> {
  let last: Row | undefined;
  for (let left = limit; left > 0; ) {
    const asked = Math.min(PAGE_ROWS, left);
    const rows = await page(last, asked);
    yield rows;
    if (rows.length < asked) return;
    left -= rows.length;
    last = rows.at(-1);
    if (left > 0) await yieldToEventLoop();
  }
}
