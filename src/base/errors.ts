/**
 * Every error that crosses a boundary of the edge: one class, a stable `code`, and a sentence that says what to do. Here is the
 * one table of the codes; docs/errors.md shows it (a test compares them), and HTTP answers take their status from it.
 */

interface ErrorDescription {
  /** The HTTP status (design.md, "The API"). */
  readonly status: number;
  /** Statuses that it has too, where HTTP itself is what is wrong. */
  readonly otherStatuses?: readonly number[];
  readonly when: string;
  readonly whatToDo: string;
}

/** What an operation can end with. */
export const ERRORS = {
  invalid_request: {
    status: 400,
    otherStatuses: [417, 431, 505],
    when: "The body is not JSON (UTF-8, no member twice), or not as the operation says; a context is too large or not well-formed. Or it is no HTTP that is taken here: malformed (400), an unmet expectation (417), too long a head (431), another version (505).",
    whatToDo: "Correct the field that `detail` names; `/openapi.json` has the schema.",
  },
  invalid_blob: {
    status: 400,
    when: "`wrapped` is not a wrapped key: cut, padded, changed in its outer form, or something else.",
    whatToDo: "Pass it exactly as it was returned. `crypto-edge inspect` says what is wrong with a stored one.",
  },
  unauthenticated: {
    status: 401,
    when: "The listener does not know who calls: no certificate, no token, or one that is refused.",
    whatToDo: "Present a valid one; `detail` says why a token was refused.",
  },
  access_denied: {
    status: 403,
    when: "No policy allows this principal this operation on this tenant and service, or the Core does not let this edge have the key. Whether they exist is not told.",
    whatToDo: "Ask the edge's operator; `crypto-edge access explain` says which rule decides.",
  },
  refused_by_hook: {
    status: 403,
    when: "A plugin's hook refused, or failed and is configured to refuse then.",
    whatToDo: "Read `detail`, which names the hook and its own code.",
  },
  key_not_found: {
    status: 404,
    when: "The key source knows no such tenant, service or version.",
    whatToDo: "Check the names; make the service at the Core. The answer is remembered for some seconds.",
  },
  key_revoked: {
    status: 410,
    when: "The version is compromised or destroyed, or its service or tenant is cut off.",
    whatToDo:
      "Don't ask again. For new data, the service needs a new active version (`core rotate`); what was wrapped opens again only after `core restore`, and never when it was destroyed.",
  },
  too_large: {
    status: 413,
    when: "The body is longer than its operation takes: 64 KiB for one key, 128 KiB for one value, `limits.max_body` for a batch.",
    whatToDo: "Split the batch.",
  },
  decryption_failed: {
    status: 422,
    when: "The wrapped key was altered, or the context is not the one of its creation. One error for both, so that nobody learns which.",
    whatToDo: "Give the context of the creation; if it is, the stored key is damaged.",
  },
  rate_limited: {
    status: 429,
    when: "A `rate_limit` of the policy, too many requests of one principal in flight, or too many requests for keys that the source does not have.",
    whatToDo: "Ask again after `Retry-After`.",
  },
  lease_unavailable: {
    status: 503,
    when: "No valid lease is held on the key, and the key source gives none now; or no revocation is heard and the edge is configured to serve nothing then; or the edge stops. The TypeScript client gives it too when no edge answers.",
    whatToDo: "Ask again after `Retry-After`. If it stays, look at the edge's `/readyz` and at the Core.",
  },
} as const satisfies Readonly<Record<string, ErrorDescription>>;

/** The codes of operations: part of the interface. */
export type ErrorCode = keyof typeof ERRORS;

/** What a listener or the routing answers by itself, before there is an operation. */
export const HTTP_ERRORS = {
  not_found: {
    status: 404,
    when: "There is no such path on this listener.",
    whatToDo: "`/openapi.json` lists what there is; `/v1/status` and `/metrics` need `status: true`.",
  },
  method_not_allowed: {
    status: 405,
    when: "The path takes another method.",
    whatToDo: "The operations take `POST`.",
  },
  cross_site_request: {
    status: 403,
    when: "A web page of another site sent it, by its `Origin` or `Sec-Fetch-Site`.",
    whatToDo: "Call the edge from a program, not from a page.",
  },
  unsupported_media_type: {
    status: 415,
    when: "The body is not JSON by its `content-type`, or it is encoded (`content-encoding`).",
    whatToDo:
      "Send `content-type: application/json`, or `application/octet-stream` where a batch takes bytes; compress nothing.",
  },
  misdirected_request: {
    status: 421,
    when: "A listener on loopback was called under another name.",
    whatToDo: "Call it as `localhost`, `127.0.0.1` or `[::1]`.",
  },
  internal_error: {
    status: 500,
    when: "A defect of the edge.",
    whatToDo: "Report it with the lines of the log under `request_id`.",
  },
  overloaded: {
    status: 503,
    when: "The listener has more in flight than `limits` let in.",
    whatToDo: "Ask again after `Retry-After`; add edges or raise the limits.",
  },
} as const satisfies Readonly<Record<string, ErrorDescription>>;

export type HttpErrorCode = keyof typeof HTTP_ERRORS;

/** Why a listener turns a request away before there is an operation. */
export type RequestErrorCode = Exclude<HttpErrorCode, "internal_error">;

/** The HTTP status of each code. */
export const HTTP_STATUS: Readonly<Record<ErrorCode | RequestErrorCode, number>> = Object.fromEntries(
  Object.entries({ ...ERRORS, ...HTTP_ERRORS }).map(([code, { status }]) => [code, status]),
) as Record<ErrorCode | RequestErrorCode, number>;

/** The codes that an operation can end with. */
export const ERROR_CODES = Object.keys(ERRORS) as readonly ErrorCode[];

export function isOperationCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}

export interface ErrorOptionsWithRetry {
  /** When asking again can help: after this many milliseconds. */
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

/**
 * What every error with a code has. A kind of error inside the edge (of key sources, of plugins, of events) is a class of its
 * own with its own codes; at the border they become a `OperationError`.
 */
export abstract class CodedError<Code extends string> extends Error {
  readonly code: Code;
  /** When asking again can help: after this many milliseconds; undefined where nobody said so. */
  readonly retryAfterMs: number | undefined;

  /**
   * Without a stack: the code and the message say all. A batch may hold ten thousand of them, and a collection that finds them looks up the
   * place in the source of every frame of each, 50 ms in one stop.
   */
  constructor(code: Code, message: string, { cause, retryAfterMs }: ErrorOptionsWithRetry = {}) {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message, cause === undefined ? undefined : { cause });
    Error.stackTraceLimit = stackTraceLimit;
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * The error of an operation, or of a request that a listener turns away. Its message says what to do, and never holds a key, a blob, a
 * context value or a token. Callers get it as a problem detail; what `crypto-edge/client` makes of that is its `CryptoEdgeError`.
 *
 * @example
 * try {
 *   await operations.decrypt(call, request);
 * } catch (error) {
 *   if (error instanceof OperationError && error.code === "key_revoked") discard();
 *   else throw error;
 * }
 */
export class OperationError extends CodedError<ErrorCode | RequestErrorCode> {
  override readonly name: string = "OperationError";

  get status(): number {
    return HTTP_STATUS[this.code];
  }
}

/**
 * The message of any thrown value, for logs; never its stack.
 *
 * @example
 * ```ts
 * log.warn({ reason: messageOf(error) }, "the store did not answer");
 * ```
 */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
