/** Who may do what: the port of the policy. Asked before anything is derived, cached or fetched. */
import type { Principal } from "./principal.ts";

export type Operation = "create" | "decrypt" | "rewrap";

export interface AccessPolicy {
  /**
   * Returns when the principal may do this, and throws otherwise. Synchronous: a look-up, on the hot path. `count` is
   * how many keys of this tenant and service the call is about, for rate limits; 1 where it is left out.
   *
   * @throws {CryptoEdgeError} `access_denied`, the same whether or not the tenant exists; `rate_limited`.
   */
  authorize(principal: Principal, operation: Operation, tenant: string, service: string, count?: number): void;
}
