/** What names a request in the log, the audit and the answer: a request id, and the W3C trace that it belongs to. */

const REQUEST_ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/;
/** W3C Trace Context, "traceparent": version 00, and later ones that begin alike. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const NO_ID = /^0+$/;

/** A request's name, for log and audit: what `toString` answers, looked for only when someone wants to know. */
export interface RequestId {
  toString(): string;
}

/** Random, so that it tells no caller how many others there are. */
export function newRequestId(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(8))).toString("hex");
}

/** A request's headers, by their names in lower case. */
export interface HeaderFields {
  get(name: string): string | null | undefined;
}

/**
 * The names of one request, looked for when they are needed: that is when something is logged, audited or refused, and looking at
 * a request's headers costs more than making a key. The caller's own ids are taken over where they are well-formed; what is not is
 * as if it were not there.
 */
export class RequestTrace implements RequestId {
  readonly #request: { readonly headers: HeaderFields };
  #requestId: string | undefined;

  constructor(request: { readonly headers: HeaderFields }) {
    this.#request = request;
  }

  get requestId(): string {
    if (this.#requestId === undefined) {
      const given = this.#request.headers.get("x-request-id") ?? "";
      this.#requestId = REQUEST_ID.test(given) ? given : newRequestId();
    }
    return this.#requestId;
  }

  /** 32 hex digits; undefined when the caller is not part of a trace. */
  get traceId(): string | undefined {
    return traceIdOf(this.#request.headers.get("traceparent") ?? undefined);
  }

  /** Undefined likewise. */
  get parent(): TraceParent | undefined {
    return traceParentOf(this.#request.headers.get("traceparent") ?? undefined);
  }

  /** For a log line, or the members of a problem. */
  get fields(): { readonly request_id: string; readonly trace_id?: string } {
    const { requestId, traceId } = this;
    return traceId === undefined ? { request_id: requestId } : { request_id: requestId, trace_id: traceId };
  }

  toString(): string {
    return this.requestId;
  }
}

export function traceIdOf(traceparent: string | undefined): string | undefined {
  return traceParentOf(traceparent)?.traceId;
}

/** The caller's own span, which ours are children of. */
export interface TraceParent {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
  /** Whether the caller records this trace. */
  readonly sampled: boolean;
}

function traceParentOf(traceparent: string | undefined): TraceParent | undefined {
  if (traceparent === undefined) return undefined;
  const match = TRACEPARENT.exec(traceparent);
  if (match === null || NO_ID.test(match[1]!) || NO_ID.test(match[2]!)) return undefined;
  // Version 00 has nothing after the flags.
  if (traceparent.startsWith("00-") && match[4] !== undefined) return undefined;
  return { traceId: match[1]!, spanId: match[2]!, sampled: (Number.parseInt(match[3]!, 16) & 1) === 1 };
}
