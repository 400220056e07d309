/** The table of what is asked with GET: declared to Elysia (declare.ts, app.ts) and described (openapi.ts) from here, as the operations are from routes.ts. */

/** What is asked with GET. */
export interface GetRoute {
  readonly id: string;
  readonly path: string;
  readonly summary: string;
  readonly content: "json" | "text" | "events";
  /** `probe`: answered to anyone, counted in no share; `open`: to anyone; `caller`: to whoever is known. */
  readonly for: "probe" | "open" | "caller";
  /** Served where `status` is true alone. */
  readonly administration: boolean;
}

export const GET_ROUTES = [
  {
    id: "livez",
    path: "/livez",
    summary: "Whether the process runs",
    content: "json",
    for: "probe",
    administration: false,
  },
  {
    id: "readyz",
    path: "/readyz",
    summary: "Whether the edge can serve",
    content: "json",
    for: "probe",
    administration: false,
  },
  {
    id: "status",
    path: "/v1/status",
    summary: "What the edge holds and how it is",
    content: "json",
    for: "open",
    administration: true,
  },
  {
    id: "metrics",
    path: "/metrics",
    summary: "Figures for Prometheus",
    content: "text",
    for: "open",
    administration: true,
  },
  {
    id: "openapi",
    path: "/openapi.json",
    summary: "This document",
    content: "json",
    for: "open",
    administration: false,
  },
  {
    id: "revocations",
    path: "/v1/revocations",
    summary: "Revocations of what this caller may use, as they come",
    content: "events",
    for: "caller",
    administration: false,
  },
] as const satisfies readonly GetRoute[];
