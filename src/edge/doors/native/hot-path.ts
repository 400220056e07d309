/**
 * The three operations that an application calls for every record (create, decrypt, rewrap), answered ahead of the
 * generic routing: the same schemas, the same operations, the same answers, in a third of the time. What is not
 * well-formed here is handed on whole, so that there is one place that says what is wrong with a request
 * (test/edge/doors/native/hot-path.test.ts holds the two ways to the same answers).
 */

import type { Static, TSchema } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { responseOf, type WrittenAnswer } from "../../../base/network/problem.ts";
import { type HeaderFields, RequestTrace } from "../../../base/network/trace-context.ts";
import type { Principal } from "../../access/principal.ts";
import type { Caller, MaybePromise } from "../../operations/operations.ts";
import type { Api } from "./api.ts";
import { CreateBody, type Created, type Decrypted, type Rewrapped, WrappedBody } from "./schemas.ts";

export interface HotPathParts {
  readonly api: Api;
  readonly identify: (request: Request) => Principal;
  /** The answer to an error that an operation threw. */
  readonly answerError: (error: unknown, trace: RequestTrace) => WrittenAnswer;
  /** The generic way, for a request that the hot path does not take, with the text of its body. */
  readonly handOn: (request: Request, text: string) => MaybePromise<Response>;
}

/** As this runtime has it, so that no caller sees a difference. */
const JSON_HEADERS = { "content-type": Response.json(null).headers.get("content-type")! };

export interface Route {
  take(request: Request): Promise<Response>;
  /**
   * For a listener that has no `Request`: from a body's text to an answer's. Undefined for what is not well-formed: then the
   * listener makes a request of it and hands it on.
   */
  quick(text: string, principal: Principal, headers: HeaderFields): MaybePromise<WrittenAnswer> | undefined;
}

/** The routes by path. Each takes POST requests alone. */
export function hotPath(parts: HotPathParts): ReadonlyMap<string, Route> {
  const { api } = parts;
  return new Map<string, Route>([
    ["/v1/keys/create", route(parts, CreateBody, 201, api.create, writeCreated)],
    ["/v1/keys/decrypt", route(parts, WrappedBody, 200, api.decrypt, writeDecrypted)],
    ["/v1/keys/rewrap", route(parts, WrappedBody, 200, api.rewrap, writeRewrapped)],
  ]);
}

/** The path of a request's address, its query included: one with a query is not on the hot path. */
export function pathOf(url: string): string {
  // The authority begins after "http://" and has at least one character.
  return url.slice(url.indexOf("/", 8));
}

function route<Schema extends TSchema, Answer>(
  { identify, answerError, handOn }: HotPathParts,
  schema: Schema,
  status: 200 | 201,
  run: (caller: Caller, body: Static<Schema>) => MaybePromise<Answer>,
  write: (answer: Answer) => string,
): Route {
  const check = TypeCompiler.Compile(schema);
  const succeed = (answer: Answer): WrittenAnswer => ({ status, headers: JSON_HEADERS, body: write(answer) });
  const init = { status, headers: JSON_HEADERS };
  const respond = (answer: Answer): Response => new Response(write(answer), init);

  const quick: Route["quick"] = (text, principal, headers) => {
    const body = parse(text);
    if (!check.Check(body)) return undefined;
    const trace = new RequestTrace({ headers });
    try {
      const answer = run(nativeCaller(principal, trace), body);
      if (!(answer instanceof Promise)) return succeed(answer);
      return answer.then(succeed, (error: unknown) => answerError(error, trace));
    } catch (error) {
      return answerError(error, trace);
    }
  };
  const take: Route["take"] = (request) =>
    request.text().then((text) => {
      const body = parse(text);
      if (!check.Check(body)) return handOn(request, text);
      const trace = new RequestTrace(request);
      try {
        const answer = run(nativeCaller(identify(request), trace), body);
        if (!(answer instanceof Promise)) return respond(answer);
        return answer.then(respond, (error: unknown) => responseOf(answerError(error, trace)));
      } catch (error) {
        return responseOf(answerError(error, trace));
      }
    });
  return { take, quick };
}

/** Who calls by this door. */
export function nativeCaller(principal: Principal, requestId: RequestTrace): Caller {
  return { principal, door: "native", requestId };
}

/** Undefined, which no schema allows, for what is not JSON. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

// Names and base64url hold nothing that JSON escapes.

function writeCreated({ wrapped, version, plaintext }: Created): string {
  return plaintext === undefined
    ? `{"wrapped":"${wrapped}","version":${version}}`
    : `{"wrapped":"${wrapped}","version":${version},"plaintext":"${plaintext}"}`;
}

function writeDecrypted({ plaintext, tenant, service, version }: Decrypted): string {
  return `{"plaintext":"${plaintext}","tenant":"${tenant}","service":"${service}","version":${version}}`;
}

function writeRewrapped({ wrapped, tenant, service, version }: Rewrapped): string {
  return `{"wrapped":"${wrapped}","tenant":"${tenant}","service":"${service}","version":${version}}`;
}
