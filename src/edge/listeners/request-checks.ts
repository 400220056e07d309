/** What is refused by the head alone, at whatever door: pages of other sites, and codings that are not taken. */
import { OperationError } from "../../base/errors.ts";
import type { Http1Head } from "../../base/network/http1/head.ts";

const CROSS_SITE = new OperationError(
  "cross_site_request",
  "A web page of another site sent this request. Call the edge from a program, not from a page.",
);
const CODED = new OperationError(
  "unsupported_media_type",
  "A body with a content-encoding is not taken here. Send it as it is.",
);

export function refusalByHead({
  headers: { fields },
  contentLength = 0,
  chunked,
}: Http1Head): OperationError | undefined {
  if (isCrossSite(fields)) return CROSS_SITE;
  const coding = fields.get("content-encoding")?.toLowerCase() ?? "identity";
  return coding !== "identity" && coding !== "" && (chunked || contentLength > 0) ? CODED : undefined;
}

/**
 * A browser on this machine can be led by any page to call a listener on loopback: it can't read the answer, but its request would count as
 * the listener's principal's. It tells on the page by these headers, which no page can forge (Fetch Metadata; RFC 6454, 7).
 */
function isCrossSite(fields: ReadonlyMap<string, string>): boolean {
  const site = fields.get("sec-fetch-site");
  if (site !== undefined && site !== "same-origin" && site !== "none") return true;
  const origin = fields.get("origin");
  if (origin === undefined) return false;
  return origin.replace(/^https?:\/\//, "") !== fields.get("host");
}
