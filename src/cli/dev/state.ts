/** What the page of `crypto-edge dev` shows, read from the Core and the edge that run in this process. */
import type { CoreAdmin } from "../../core/admin.ts";
import type { LoggedEvent } from "../../core/protocol/events.ts";
import type { LeaseStatus } from "../../edge/cache/lease-cache.ts";

export interface DevState {
  readonly coreUrl: string;
  readonly edgeUrl: string;
  readonly ready: boolean;
  readonly reasons: readonly string[];
  readonly leases: readonly { readonly name: string; readonly versions: string; readonly secondsLeft: number }[];
  /** Ended so far, of all operations. */
  readonly operations: number;
  readonly services: readonly { readonly name: string; readonly version: number; readonly state: string }[];
  /** The newest first. */
  readonly events: readonly { readonly seq: number; readonly at: string; readonly what: string }[];
}

export interface DevParts {
  readonly coreUrl: string;
  readonly edgeUrl: () => string;
  readonly admin: CoreAdmin;
  readonly readiness: () => { readonly ready: boolean; readonly reasons: readonly string[] };
  readonly leases: () => readonly LeaseStatus[];
  readonly metrics: () => Promise<string>;
}

const SHOWN_EVENTS = 12;
const SHOWN_LEASES = 50;

export async function readState(parts: DevParts): Promise<DevState> {
  const { admin } = parts;
  const [{ lastSeq }, tenants, metrics] = await Promise.all([admin.status(), admin.tenants(), parts.metrics()]);
  const events = await admin.eventsAfter(Math.max(0, lastSeq - SHOWN_EVENTS));
  const services = await Promise.all(
    tenants
      .slice(0, SHOWN_LEASES)
      .map(async ({ tenant }) =>
        (await admin.services(tenant)).flatMap(({ service, versions }) =>
          versions.map(({ version, state }) => ({ name: `${tenant}/${service}`, version, state })),
        ),
      ),
  );
  return {
    coreUrl: parts.coreUrl,
    edgeUrl: parts.edgeUrl(),
    ...parts.readiness(),
    leases: parts
      .leases()
      .slice(0, SHOWN_LEASES)
      .map(({ tenant, service, versions, remainingMs }) => ({
        name: `${tenant}/${service}`,
        versions: versions.map(({ version, state }) => `${version} ${state}`).join(", "),
        secondsLeft: Math.ceil(remainingMs / 1000),
      })),
    operations: operationsIn(metrics),
    services: services.flat(),
    events: events.map((event) => ({ seq: event.seq, at: event.at, what: describeEvent(event) })).reverse(),
  };
}

function describeEvent(event: LoggedEvent): string {
  const { type, tenant, service } = event;
  const version = "version" in event && event.version !== undefined ? ` version ${event.version}` : "";
  const name = `${tenant}${service === undefined ? "" : `/${service}`}${version}`;
  if (type === "rotate") return `${name} is the active version now`;
  if (type === "restore") return `${name} was restored`;
  return `${name} was revoked (${event.state}): ${event.reason}`;
}

/** The sum of the operations' counter over its labels. */
function operationsIn(metrics: string): number {
  let sum = 0;
  for (const [, value] of metrics.matchAll(/^crypto_edge_operation_duration_seconds_count\{[^}]*\} ([0-9.e+]+)$/gm))
    sum += Number(value);
  return sum;
}
