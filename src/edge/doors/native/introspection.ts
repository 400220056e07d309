/** What probes and scrapes ask: answered from here by both ways, since they come all the time. */
import type { MaybePromise } from "../../operations/operations.ts";
import type { DoorAnswer } from "../door.ts";
import { JSON_HEADERS } from "./serve-fast.ts";

export interface IntrospectionParts {
  /** What a probe is told. */
  readonly readiness: () => { readonly ready: boolean };
  /** What `/v1/status` tells. */
  readonly status: () => unknown;
  /** The text of `/metrics`. */
  readonly metrics: () => Promise<string>;
}

export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** By the id of their route; the app answers the others. */
export const INTROSPECTION: Readonly<Record<string, (parts: IntrospectionParts) => MaybePromise<DoorAnswer>>> = {
  livez: () => json(200, { status: "live" }),
  readyz({ readiness }) {
    const told = readiness();
    return json(told.ready ? 200 : 503, told);
  },
  status: async ({ status }) => json(200, await status()),
  metrics: async ({ metrics }) => ({ status: 200, headers: { "Content-Type": METRICS_TYPE }, body: await metrics() }),
};

function json(status: number, value: unknown): DoorAnswer {
  return { status, headers: JSON_HEADERS, body: JSON.stringify(value) };
}
