/** Who may do what: the port of the policy. Asked before anything is derived, cached or fetched. */
import type { Principal } from "./principal.ts";

/**
 * What policies allow. `create`, `decrypt` and `rewrap` are about data keys that the edge makes (`decrypt` and `rewrap` about
 * values, too); `encrypt` is about bytes that the caller chose: whoever may choose them can do more than `create`.
 */
export const OPERATIONS = ["create", "decrypt", "rewrap", "encrypt"] as const;

/** What a policy allows or denies by name. */
export type Operation = (typeof OPERATIONS)[number];

export interface AccessPolicy {
  /**
   * Returns when the principal may do this, and throws otherwise. Synchronous: a look-up, on the hot path. `count` is
   * how many keys of this tenant and service the call is about, for rate limits; 1 where it is left out.
   *
   * @throws {OperationError} `access_denied`, the same whether or not the tenant exists; `rate_limited`.
   */
  authorize(principal: Principal, operation: Operation, tenant: string, service: string, count?: number): void;

  /**
   * Returns when the principal may do anything at all with this service key. Takes nothing from a rate limit.
   *
   * @throws {OperationError} `access_denied`
   */
  authorizeAny(principal: Principal, tenant: string, service: string): void;

  /** The services of this tenant that rules name literally, without `*`, and that the principal may do anything with; sorted. */
  namedServices(principal: Principal, tenant: string): string[];
}
