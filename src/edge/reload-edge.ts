import { messageOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Policy } from "./access/policy.ts";
import { changedSections, type Renewal } from "./renewal.ts";
import type { Usage } from "./usage/usage.ts";

export interface ReloadParts {
  readonly log: Log;
  readonly usage: Pick<Usage, "audit">;
  readonly policy: Policy;
  /** As the edge was started. */
  readonly started: Renewal;
  /** What reads files anew, with the address that it is known by. */
  readonly parts: readonly { readonly address: string; readonly reload: () => Promise<void> | undefined }[];
}

/** `Edge.reload` */
export async function reloadEdge(renewed: Renewal, { log, usage, policy, started, parts }: ReloadParts): Promise<void> {
  const { policies } = renewed;
  await policy.replaceInSlices(policies);
  const ended = await Promise.allSettled(parts.map(({ reload }) => reload()));
  ended.forEach((result, index) => {
    if (result.status === "fulfilled") return;
    const details = { address: parts[index]!.address, reason: messageOf(result.reason) };
    log.error(details, "these files are no good; the old ones stay in use");
  });
  const ignored = changedSections(started, renewed);
  log.info({ policies: policies.length }, "reloaded");
  if (ignored.length > 0) {
    log.warn({ changed: ignored }, "these sections have changed too, and count from the next start");
  }
  const refused = ended.filter(({ status }) => status === "rejected").length;
  usage.audit("administration", {
    operation: "reload",
    outcome: refused === 0 ? "ok" : "failed",
    ...(refused === 0 ? undefined : { reason: `the files of ${refused} connections or listeners are no good` }),
  });
}
