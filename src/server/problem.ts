/** Errors as RFC 9457 problem details: a stable `code` and a sentence; never a key, a blob or a stack. */
import { CryptoEdgeError } from "../errors.ts";
import { REASON_PHRASES } from "../http/reason-phrases.ts";
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

export function problem(status: number, code: string, detail: string): Problem {
  return { type: "about:blank", status, title: REASON_PHRASES[status] ?? "Error", code, detail };
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
  if (retryAfterMs !== undefined) headers["retry-after"] = retryAfterOf(retryAfterMs);
  return new Response(JSON.stringify({ ...details, ...trace?.fields }), { status: details.status, headers });
}

/** In whole seconds, as the header has it (RFC 9110, 10.2.3). */
export function retryAfterOf(retryAfterMs: number): string {
  return String(Math.max(1, Math.ceil(retryAfterMs / 1000)));
}
