/** Who sends a request on a connection that proves nobody, from its head: as the door says, else by a bearer token. */
import { OperationError } from "../../base/errors.ts";
import type { TokenVerifier } from "../access/bearer-token.ts";
import type { Principal } from "../access/principal.ts";
import type { DoorConnection, DoorIdentity, DoorRequestHead } from "../doors/door.ts";
import type { MaybePromise } from "../operations/operations.ts";
import type { RouteMatch } from "./door-routes.ts";

/** Known, or known by this name until the body has proven more. */
export type Sender = { readonly principal: Principal } | { readonly unproven: string };

/** @throws {OperationError} `unauthenticated` or the door's own, or rejects with it */
export function identifySender(
  { door, route }: RouteMatch,
  head: DoorRequestHead,
  tokens: TokenVerifier | undefined,
): MaybePromise<Sender> {
  const { connection } = head;
  if (route.open === true) return { principal: anonymous(connection) };
  const identity = door.identify === undefined ? bearerToken(head) : door.identify(head);
  switch (identity.kind) {
    case "proven":
      return { principal: identity.principal };
    case "unproven":
      return { unproven: `${door.name}:${identity.load}` };
    case "token": {
      if (tokens === undefined) throw unknownSender();
      const principal = tokens.principalOf(`Bearer ${identity.token}`, connection.peer ?? "");
      return principal instanceof Promise ? principal.then((known) => ({ principal: known })) : { principal };
    }
    case "refused":
      throw identity.error;
    case "none":
      throw unknownSender();
  }
}

export function unknownSender(): OperationError {
  return new OperationError("unauthenticated", "Present a client certificate, or a token as Authorization: Bearer.");
}

export function anonymous({ principal, peer }: DoorConnection): Principal {
  return principal ?? { kind: "anonymous", name: "", ...(peer === undefined ? {} : { peer }) };
}

function bearerToken({ headers }: DoorRequestHead): DoorIdentity {
  const authorization = headers.get("authorization");
  if (authorization === undefined) return { kind: "none" };
  return { kind: "token", token: authorization.replace(/^Bearer +/i, "") };
}
