/** What names a request in the log, the audit and the answer: a request id, and the W3C trace that it belongs to. */

export interface RequestTrace {
  readonly requestId: string;
  /** 32 hex digits; undefined when the caller is not part of a trace. */
  readonly traceId: string | undefined;
  /** Whether the caller named the request or the trace, and so wants to find the name in the answer. */
  readonly named: boolean;
}

const REQUEST_ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/;
/** W3C Trace Context, "traceparent": version 00, and later ones that begin alike. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/;
const NO_ID = /^0+$/;

const PROCESS = crypto.getRandomValues(new Uint32Array(1))[0]!.toString(36);
let count = 0;

/** Unique over restarts, cheap, and no secret: a random prefix of the process, and a number. */
export function newRequestId(): string {
  return `${PROCESS}-${(++count).toString(36)}`;
}

/** Takes over the caller's ids where they are well-formed; what is not is as if it were not there. */
export function traceOf(headers: Headers): RequestTrace {
  const given = headers.get("x-request-id");
  const traceId = traceIdOf(headers.get("traceparent"));
  const requestId = given !== null && REQUEST_ID.test(given) ? given : undefined;
  return {
    requestId: requestId ?? newRequestId(),
    traceId,
    named: requestId !== undefined || traceId !== undefined,
  };
}

export function traceIdOf(traceparent: string | null): string | undefined {
  if (traceparent === null) return undefined;
  const match = TRACEPARENT.exec(traceparent);
  if (match === null || NO_ID.test(match[1]!) || NO_ID.test(match[2]!)) return undefined;
  // Version 00 has nothing after the flags.
  if (traceparent.startsWith("00-") && match[3] !== undefined) return undefined;
  return match[1];
}

/** The fields of a log line. */
export function traceFields(trace: RequestTrace): { request_id: string; trace_id?: string } {
  return trace.traceId === undefined
    ? { request_id: trace.requestId }
    : { request_id: trace.requestId, trace_id: trace.traceId };
}
