/** Who may do what: the port of the policy. Asked before anything is derived, cached or fetched. */
import type { Principal } from "./principal.ts";

export type Operation = "create" | "decrypt" | "rewrap";

export interface AccessPolicy {
  /**
   * Returns when the principal may do this, and throws otherwise. Synchronous: a look-up, on the hot path.
   *
   * @throws {CryptoEdgeError} `access_denied`, the same whether or not the tenant exists; `rate_limited`.
   */
  authorize(principal: Principal, operation: Operation, tenant: string, service: string): void;
}
