/** Errors as RFC 9457 problem details: a stable `code` and a sentence; never a key, a blob or a stack. */
import { OperationError } from "../errors.ts";
import { REASON_PHRASES } from "./http1/reason-phrases.ts";
import { retryAfterOf } from "./retry-after.ts";
import type { RequestTrace } from "./trace-context.ts";

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
  if (error instanceof OperationError) return problem(error.status, error.code, error.message);
  return problem(500, "internal_error", "The edge failed at this request. Its log tells more under the request id.");
}

/** An answer as a listener writes it. */
export interface WrittenAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export function writeProblem(details: Problem, retryAfterMs?: number, trace?: RequestTrace): WrittenAnswer {
  const headers: Record<string, string> = { "Content-Type": "application/problem+json" };
  if (trace !== undefined) headers["X-Request-Id"] = trace.requestId;
  if (retryAfterMs !== undefined) headers["Retry-After"] = retryAfterOf(retryAfterMs);
  return { status: details.status, headers, body: JSON.stringify({ ...details, ...trace?.fields }) };
}

export function writeError(error: unknown, trace?: RequestTrace): WrittenAnswer {
  return writeProblem(problemOf(error), error instanceof OperationError ? error.retryAfterMs : undefined, trace);
}
