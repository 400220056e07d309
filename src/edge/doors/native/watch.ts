/** What those who watch an edge may ask, on a listener of their own: no operation, no name of a tenant. */
import { OperationError } from "../../../base/errors.ts";
import { writeError } from "../../../base/network/problem.ts";
import { RequestTrace } from "../../../base/network/trace-context.ts";
import type { DoorAnswer, HttpDoor } from "../door.ts";
import { answerMetrics, type IntrospectionParts } from "./introspection.ts";

export interface WatchParts {
  readonly readiness: () => { readonly ready: boolean };
  readonly metrics: IntrospectionParts["metrics"];
}

export function createWatchDoor({ readiness, metrics }: WatchParts): HttpDoor {
  const route = { methods: ["GET"], bodyBytesMax: 0, open: true };
  return {
    name: "watch",
    transport: "http",
    routes: [
      {
        ...route,
        path: "/metrics",
        handle: (request) => answerMetrics(metrics, request),
      },
      { ...route, path: "/livez", probe: true, handle: () => json(200, { status: "live" }) },
      {
        ...route,
        path: "/readyz",
        probe: true,
        handle() {
          const told = readiness();
          return json(told.ready ? 200 : 503, told);
        },
      },
    ],
    refuse: (error, head) => writeError(isMissing(error) ? NOTHING_ELSE : error, new RequestTrace(head)),
  };
}

const NOTHING_ELSE = new OperationError("not_found", "Here are /metrics, /livez and /readyz, and nothing else.");

function isMissing(error: unknown): boolean {
  return error instanceof OperationError && (error.code === "not_found" || error.code === "method_not_allowed");
}

function json(status: number, body: object): DoorAnswer {
  return { status, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}
