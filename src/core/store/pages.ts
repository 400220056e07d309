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
  for (;;) {
    const asked = Math.min(PAGE_ROWS, limit - all.length);
    const rows = await page(all.at(-1), asked);
    all.push(...rows);
    if (rows.length < asked || all.length === limit) return all;
    await yieldToEventLoop();
  }
}
