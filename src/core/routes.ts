/** The table of the protocol's calls (core-protocol.md): by which method each comes, who may make it, and what answers. */
import type { Peer } from "../base/pki/peer-certificate.ts";
import { isOwnRequest } from "../base/web/html.ts";
import { type AdministrationParts, administer } from "./administration.ts";
import { sendJson } from "./answers.ts";
import { identifyCaller, requireAdmin, requireEdge } from "./caller.ts";
import { type EdgeCall, type EdgeCallParts, EdgeCalls } from "./edge-calls.ts";
import type { HttpRequest, HttpResponse } from "./node-http.ts";
import { CoreError } from "./protocol/core-error.ts";
import type { SigningKeys } from "./signing-keys.ts";

const ADMIN_PATH = "/core/v1/admin/";

export interface RouteParts extends EdgeCallParts, AdministrationParts {
  readonly trustDomain: string;
  readonly signingKeys: SigningKeys;
}

/** A call for edges, or for whoever the Core knows. */
type Route = { readonly method: "GET" | "POST" } & (
  | { readonly edge: (call: EdgeCall) => Promise<void> }
  | { readonly anyone: (response: HttpResponse) => Promise<void> }
);

export interface Routes {
  /** @throws CoreError, StoreUnavailable, StoreFull, BodyTooLarge */
  handle(request: HttpRequest, response: HttpResponse, peer: Peer): Promise<void>;
  /** Lease calls of an edge that other Cores answered. */
  countElsewhere(edge: string, calls: number): void;
}

export function createRoutes(parts: RouteParts): Routes {
  const { trustDomain, signingKeys } = parts;
  const calls = new EdgeCalls(parts);
  const table = new Map<string, Route>([
    ["/core/v1/leases", { method: "POST", edge: (call) => calls.lease(call) }],
    ["/core/v1/revocations", { method: "GET", edge: (call) => calls.follow(call) }],
    ["/core/v1/applied", { method: "POST", edge: (call) => calls.confirm(call) }],
    ["/core/v1/usage", { method: "POST", edge: (call) => calls.takeUsage(call) }],
    [
      "/core/v1/keys",
      {
        method: "GET",
        anyone: async (response) => sendJson(response, 200, JSON.stringify(await signingKeys.jwks())),
      },
    ],
  ]);

  return {
    async handle(request, response, peer) {
      refusePages(request);
      const identity = identifyCaller(peer, trustDomain);
      const path = (request.url ?? "/").split("?", 1)[0]!;
      const route = table.get(path);
      if (route === undefined) {
        if (!path.startsWith(ADMIN_PATH)) throw new CoreError("not_found", "there is no such call");
        requireAdmin(identity);
        return administer(request, response, peer, parts);
      }
      if ((request.method ?? "GET") !== route.method)
        throw new CoreError("method_not_allowed", `this call takes ${route.method}`);
      if ("anyone" in route) return route.anyone(response);
      return route.edge({ edge: requireEdge(identity), request, response, peer });
    },
    countElsewhere: (edge, amount) => calls.countElsewhere(edge, amount),
  };
}

/**
 * A browser that holds an administrator's certificate, for the console, sends it with whatever any page asks of the Core's address; what
 * a page sends is told by these headers, which it can't forge.
 */
function refusePages(request: HttpRequest): void {
  const header = (name: string): string | undefined => {
    const value = request.headers[name];
    return Array.isArray(value) ? value[0] : value;
  };
  if (!isOwnRequest(header)) {
    throw new CoreError("not_allowed", "a web page of another site sent this: call the Core from a program");
  }
}
