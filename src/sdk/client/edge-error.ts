import { type ErrorCode, OperationError } from "../../base/errors.ts";

/**
 * The codes of docs/errors.md, and whatever a newer edge tells. Of the client itself: `lease_unavailable` where no edge
 * answers, `unexpected_answer` where what answers is no edge, `invalid_request` for what it would not send.
 */
export type EdgeErrorCode =
  | ErrorCode
  | "not_found"
  | "method_not_allowed"
  | "misdirected_request"
  | "internal_error"
  | "overloaded"
  | "unexpected_answer"
  | (string & {});

/** What passes by itself. Any other answer stays the same until something else is changed. */
const PASSING: ReadonlySet<string> = new Set(["lease_unavailable", "rate_limited", "overloaded"]);

/** What is known of a failed call besides its code and sentence; each is a property of the error. */
export interface EdgeErrorOptions {
  readonly status?: number | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly requestId?: string | undefined;
  readonly cause?: unknown;
}

/**
 * Every failure of a call: the code and sentence of the edge's answer, or of the client itself where there is none.
 *
 * @example
 * ```ts
 * try {
 *   await edge.decryptKey({ wrapped });
 * } catch (error) {
 *   if (error instanceof CryptoEdgeError && error.code === "key_revoked") discard();
 *   else throw error;
 * }
 * ```
 */
export class CryptoEdgeError extends Error {
  override readonly name: string = "CryptoEdgeError";
  readonly code: EdgeErrorCode;
  /** Of the answer, or of the item of a batch; undefined where none came. */
  readonly status: number | undefined;
  /** When asking again can help: after this many milliseconds, if the edge said. */
  readonly retryAfterMs: number | undefined;
  /** What the edge's log and audit name the request by, if it answered. */
  readonly requestId: string | undefined;

  constructor(code: EdgeErrorCode, message: string, options: EdgeErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = options.status;
    this.retryAfterMs = options.retryAfterMs;
    this.requestId = options.requestId;
  }

  /**
   * Whether the same call may succeed a little later. Asking again never does harm: nothing is stored, so a call that was
   * carried out and whose answer was lost has left nothing behind.
   */
  get mayPass(): boolean {
    return PASSING.has(this.code);
  }
}

/** Runs what the edge and its clients share (blobs, contexts), whose errors are the edge's own class. */
export function withClientErrors<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof OperationError) throw new CryptoEdgeError(error.code, error.message, { status: error.status });
    throw error;
  }
}

/** What a proxy, or the runtime below the edge, answers without an explanation. */
const UNEXPLAINED: Readonly<Record<number, string>> = {
  413: "too_large",
  429: "rate_limited",
  502: "lease_unavailable",
  503: "lease_unavailable",
  504: "lease_unavailable",
};

/** The error that a refusal tells: a problem detail, or at least a status. */
export function errorFromAnswer(
  problem: unknown,
  head: { status?: number; retryAfter?: string | undefined; requestId?: string | undefined } = {},
): CryptoEdgeError {
  const told = (problem ?? {}) as { code?: unknown; detail?: unknown; status?: unknown; request_id?: unknown };
  const status = head.status ?? (typeof told.status === "number" ? told.status : undefined);
  const code = typeof told.code === "string" ? told.code : (UNEXPLAINED[status ?? 0] ?? "unexpected_answer");
  const sentence =
    typeof told.detail === "string" ? told.detail : `An answer with the status ${status} that explains nothing.`;
  return new CryptoEdgeError(code, sentence, {
    status,
    retryAfterMs: retryAfterMs(head.retryAfter),
    requestId: typeof told.request_id === "string" ? told.request_id : head.requestId,
  });
}

/** `Retry-After` in seconds; edges send no dates. */
function retryAfterMs(header: string | undefined): number | undefined {
  if (header === undefined || !/^\d{1,6}$/.test(header.trim())) return undefined;
  return Number(header) * 1000;
}
