/** What an edge does with tasks: the Core's signed events, and the orders of an authority (docs/orbital.md). */
import {
  type AuthorityOrder,
  type Delivery,
  isName,
  type RevocationScope,
  type RevocationSink,
} from "crypto-edge/plugin";
import type { TaskHandler, TaskResult } from "./operator.ts";
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
const VERSION_MAX = 2 ** 32 - 1;
const REASON_MAX = 1_024;

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

/** @throws Error that names the field in question */
function parseOrder(data: Uint8Array | undefined): {
  scope: RevocationScope;
  reason: string;
  lifts: readonly string[] | undefined;
} {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data ?? new Uint8Array()));
  } catch {
    throw new Error("data is no JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error("data is no object");
  const { tenant, service, version, reason, lifts, ...unknown } = value as Readonly<Record<string, unknown>>;
  // A misspelt field would make the scope another one than was meant.
  const [misspelt] = Object.keys(unknown);
  if (misspelt !== undefined) throw new Error(`data has a field that is not known: ${misspelt.slice(0, 64)}`);
  if (!isNamed(tenant)) throw new Error("tenant is missing, or no name");
  if (service != null && !isNamed(service)) throw new Error("service is no name");
  if (version != null && !isVersion(version)) throw new Error("version is no version");
  if (version != null && service == null) throw new Error("version without a service");
  if (lifts != null && !isTexts(lifts)) throw new Error("lifts is no list of task ids");
  return {
    scope: { tenant, ...(service == null ? {} : { service }), ...(version == null ? {} : { version }) },
    reason: typeof reason === "string" ? reason.slice(0, REASON_MAX) : "",
    lifts: lifts ?? undefined,
  };
}

const isNamed = (value: unknown): value is string => typeof value === "string" && isName(value);
const isVersion = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) <= VERSION_MAX;
const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.length <= 1_000 && value.every((each) => typeof each === "string");
