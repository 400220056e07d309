/** Errors as RFC 9457 problem details: a stable `code` and a sentence; never a key, a blob or a stack. */
import { CryptoEdgeError } from "../errors.ts";
import type { RequestTrace } from "../telemetry/trace-context.ts";

export interface Problem {
  readonly type: "about:blank";
  readonly status: number;
  readonly title: string;
  /** Stable: the codes of docs/errors.md. */
  readonly code: string;
  /** Says what to do. */
  readonly detail: string;
  /** Of the request, in the edge's log and audit too. */
  readonly request_id?: string;
  /** Of the caller's trace. */
  readonly trace_id?: string;
}

const TITLES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  410: "Gone",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  421: "Misdirected Request",
  417: "Expectation Failed",
  422: "Unprocessable Content",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
  505: "HTTP Version Not Supported",
};

export function problem(status: number, code: string, detail: string): Problem {
  return { type: "about:blank", status, title: TITLES[status] ?? "Error", code, detail };
}

/** Of an expected error; anything else is a defect, told as such and nothing more. */
export function problemOf(error: unknown): Problem {
  if (error instanceof CryptoEdgeError) return problem(error.status, error.code, error.message);
  return problem(500, "internal_error", "The edge failed at this request. Its log tells more under the request id.");
}

export function problemResponse(error: unknown, trace?: RequestTrace): Response {
  const retryAfterMs = error instanceof CryptoEdgeError ? error.retryAfterMs : undefined;
  return answerProblem(problemOf(error), retryAfterMs, trace);
}

export function answerProblem(details: Problem, retryAfterMs?: number, trace?: RequestTrace): Response {
  const headers: Record<string, string> = { "content-type": "application/problem+json" };
  if (trace !== undefined) headers["x-request-id"] = trace.requestId;
  if (retryAfterMs !== undefined) headers["retry-after"] = String(Math.max(1, Math.ceil(retryAfterMs / 1000)));
  return new Response(JSON.stringify({ ...details, ...trace?.fields }), { status: details.status, headers });
}
