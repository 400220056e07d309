/** Authenticated callers. The kinds of principals are listed here and nowhere else. */

/**
 * Every kind of principal, and what stands before its name in policies, so that no kind can pass for another. A front door with a
 * proof of its own adds its kind here. `listener`: named by the listener's configuration; `spiffe`, `dns`, `common_name`: by a
 * certificate; `token`: by a JWT.
 */
export const PRINCIPAL_PREFIX = {
  listener: "",
  spiffe: "",
  dns: "dns:",
  common_name: "cn:",
  token: "token:",
} as const satisfies Readonly<Record<string, string>>;

export type PrincipalKind = keyof typeof PRINCIPAL_PREFIX;

/** An authenticated caller: who, and how the edge knows. Made by a listener, one per socket or connection. */
export interface Principal {
  readonly kind: PrincipalKind;
  /** The SPIFFE ID, DNS name, common name, token subject, or configured name. */
  readonly name: string;
  /** The peer's address, for audit; undefined on a Unix socket. */
  readonly peer?: string;
}
