/** What an edge does with tasks: the Core's signed events, and the orders of an authority (docs/orbital.md). */
import type { AuthorityOrder, Delivery, RevocationSink } from "crypto-edge/plugin";
import type { TaskHandler, TaskResult } from "./operator.ts";
import { parseOrder } from "./orders.ts";
import type { TrustedIssuer } from "./signatures.ts";
import type { TaskRequest } from "./task.ts";

/** An authority: whose orders count, and for which tenants. */
export interface Authority extends TrustedIssuer {
  readonly mayOrder: (tenant: string) => boolean;
  /** Whether a `restore` has to name the revocations that it lifts. */
  readonly restoresByName: boolean;
}

const DONE: TaskResult = { status: "DONE" };
const ASK_AGAIN: TaskResult = { status: "PROCESSING", reconcileAfterSec: 1 };
/** Reasons that pass by themselves: the Core's keys can't be had now, the edge is busy, or has no place in the log yet. */
const PASSING = new Set(["no_key", "too_many", "no_place", "other_log"]);

export function edgeHandlers(sink: RevocationSink): Readonly<Record<string, TaskHandler<Authority>>> {
  return {
    "crypto-edge.event": async ({ data }) => resultOf(await sink.confirmSigned(eventOf(data))),
    "crypto-edge.revoke": (task, authority) => carryOut(sink, "revoke", task, authority),
    "crypto-edge.restore": (task, authority) => carryOut(sink, "restore", task, authority),
  };
}

/** A JWS, as it is or as a text in JSON. */
function eventOf(data: Uint8Array | undefined): string {
  const text = Buffer.from(data ?? new Uint8Array())
    .toString("latin1")
    .trim();
  return text.replace(/^"(.*)"$/s, "$1");
}

function resultOf(delivery: Delivery): TaskResult {
  if (delivery.state === "applied") return DONE;
  if (delivery.state === "waiting" || PASSING.has(delivery.reason)) return ASK_AGAIN;
  return { status: "FAILED", errorMessage: `${delivery.reason}: ${delivery.detail}` };
}

function carryOut(
  sink: RevocationSink,
  type: AuthorityOrder["type"],
  { taskId: id, data }: TaskRequest,
  authority: Authority | undefined,
): TaskResult {
  if (authority === undefined) throw new Error("an order has to be signed by a configured issuer");
  const { scope, reason, lifts } = parseOrder(data);
  if (!authority.mayOrder(scope.tenant)) {
    throw new Error("the issuer may not order this for that tenant");
  }
  if (type === "restore" && authority.restoresByName && lifts === undefined) {
    throw new Error("a restore of this issuer has to name the revocations that it lifts: lifts, a list of task ids");
  }
  const outcome = sink.applyAuthority({ type, issuer: authority.issuer, scope, reason, id, lifts });
  if (outcome.outcome === "full") throw new Error("this edge can't remember more blocks: nothing was blocked");
  return DONE;
}
