/** What those who watch an edge may ask, on a listener of their own: no operation, no name of a tenant. */

import { problem, responseOf, writeProblem } from "../../../base/network/problem.ts";
import type { Handler } from "../../listeners/listener.ts";
import type { MaybePromise } from "../../operations/operations.ts";
import type { Readiness } from "./app.ts";

export interface WatchParts {
  readonly readiness: () => Readiness;
  readonly metrics: { text(): MaybePromise<string> };
}

export function createWatchHandler({ readiness, metrics }: WatchParts): Handler {
  return async (request) => {
    const { pathname } = new URL(request.url);
    if (request.method === "GET" || request.method === "HEAD") {
      if (pathname === "/metrics") return metricsResponse(await metrics.text());
      if (pathname === "/livez") return Response.json({ status: "live" });
      if (pathname === "/readyz") return readinessResponse(readiness());
    }
    return responseOf(
      writeProblem(problem(404, "not_found", "Here are /metrics, /livez and /readyz, and nothing else.")),
    );
  };
}

export function metricsResponse(text: string): Response {
  return new Response(text, { headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" } });
}

export function readinessResponse(readiness: Readiness): Response {
  return Response.json(readiness, { status: readiness.ready ? 200 : 503 });
}
