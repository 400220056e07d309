/** One request at a door: who sends it, and the answer, written as the listener's HTTP has it. */
import { CryptoEdgeError } from "../../base/errors.ts";
import type { Http1Answer, Http1Head } from "../../base/network/http1.ts";
import { RequestTrace } from "../../base/network/trace-context.ts";
import type { TokenVerifier } from "../access/bearer-token.ts";
import type { Principal } from "../access/principal.ts";
import type { DoorAnswer, DoorConnection, DoorRequest, DoorRequestHead, HttpDoor } from "../doors/door.ts";
import type { Caller, MaybePromise } from "../operations/operations.ts";
import type { RouteMatch } from "./door-routes.ts";

export function doorHead({ method, target, headers }: Http1Head, connection: DoorConnection): DoorRequestHead {
  const question = target.indexOf("?");
  return {
    method,
    path: question < 0 ? target : target.slice(0, question),
    query: question < 0 ? "" : target.slice(question + 1),
    headers: headers.fields,
    connection,
  };
}

/** Answers a request whose body is there. Rejects and throws for a defect alone. */
export function answerAtDoor(
  { door, route, parameters }: RouteMatch,
  request: DoorRequest,
  tokens: TokenVerifier | undefined,
  tellRefused: (error: CryptoEdgeError) => void,
): MaybePromise<Http1Answer> {
  const handle = (principal: Principal): MaybePromise<DoorAnswer> =>
    route.handle(request, callerOf(principal, door, request), parameters);
  const refuse = (error: unknown): DoorAnswer => {
    if (!(error instanceof CryptoEdgeError)) throw error;
    tellRefused(error);
    return door.refuse(error, request);
  };
  let principal: MaybePromise<Principal>;
  try {
    principal = route.open === true ? anonymous(request) : principalOf(door, request, tokens);
  } catch (error) {
    return written(refuse(error));
  }
  if (principal instanceof Promise) return principal.then(handle, refuse).then(written);
  const answer = handle(principal);
  return answer instanceof Promise ? answer.then(written) : written(answer);
}

/** @throws {CryptoEdgeError} `unauthenticated`, or rejects with it */
function principalOf(door: HttpDoor, request: DoorRequest, tokens: TokenVerifier | undefined): MaybePromise<Principal> {
  const { connection } = request;
  if (connection.principal !== undefined) return connection.principal;
  const identity = door.identify === undefined ? bearerToken(request) : door.identify(request);
  switch (identity.kind) {
    case "proven":
      return identity.principal;
    case "unproven":
      if (door.prove === undefined) throw nobody();
      return door.prove(request);
    case "token":
      if (tokens === undefined) throw nobody();
      return tokens.principalOf(`Bearer ${identity.token}`, connection.peer ?? "");
    case "none":
      throw nobody();
  }
}

function bearerToken({ headers }: DoorRequestHead): { kind: "token"; token: string } | { kind: "none" } {
  const authorization = headers.get("authorization");
  if (authorization === undefined) return { kind: "none" };
  return { kind: "token", token: authorization.replace(/^Bearer +/i, "") };
}

function nobody(): CryptoEdgeError {
  return new CryptoEdgeError("unauthenticated", "Present a client certificate, or a token as Authorization: Bearer.");
}

function anonymous({ connection }: DoorRequestHead): Principal {
  if (connection.principal !== undefined) return connection.principal;
  return { kind: "anonymous", name: "", ...(connection.peer === undefined ? {} : { peer: connection.peer }) };
}

function callerOf(principal: Principal, door: HttpDoor, head: DoorRequestHead): Caller {
  return { principal, door: door.name, requestId: new RequestTrace(head) };
}

/** A refusal of the gate or of routing; the connection ends with it where a body may not have been read. */
export function refusalAtDoor(
  door: HttpDoor,
  error: unknown,
  head: DoorRequestHead,
  options: { allow?: readonly string[]; close?: boolean } = {},
): Http1Answer {
  const { allow, close } = options;
  const { headers, ...answer } = door.refuse(error, head);
  return {
    ...answer,
    headers: allow === undefined ? headers : { ...headers, Allow: allow.join(", ") },
    ...(close === undefined ? {} : { close }),
  };
}

function written({ status, headers, body }: DoorAnswer): Http1Answer {
  return { status, headers, body };
}

/** What routing says where no route takes the request. */
export function missing(allow: readonly string[], { method }: DoorRequestHead): CryptoEdgeError {
  return allow.length === 0
    ? new CryptoEdgeError("not_found", "There is nothing at this path.")
    : new CryptoEdgeError("method_not_allowed", `There is no ${method} here. It takes ${allow.join(", ")}.`);
}
