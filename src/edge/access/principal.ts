/** Authenticated callers. The kinds of principals are listed here and nowhere else. */

/**
 * Every kind of principal there is, and what stands before the name in policies, so that no kind can pass for another. A front door
 * that knows its callers in a way of its own adds a kind here.
 */
export const PRINCIPAL_PREFIX = {
  /** Named by the listener's configuration. */
  listener: "",
  /** By the URI of a client certificate: `spiffe://…` whole. */
  spiffe: "",
  /** By a certificate's DNS name. */
  dns: "dns:",
  /** By a certificate's common name. */
  common_name: "cn:",
  /** By a JWT. */
  token: "token:",
  /** By the key of a certificate that no authority vouches for: SHA-256 of its SubjectPublicKeyInfo, in hexadecimal. */
  public_key: "spki:",
  /** By a signature with a configured access key: the key's id. */
  access_key: "access-key:",
  /** Nobody is known: of routes that answer anyone. No policy can name it. */
  anonymous: "anonymous:",
} as const;

export type PrincipalKind = keyof typeof PRINCIPAL_PREFIX;

/** An authenticated caller: who, and how the edge knows. Made by a listener, one per socket or connection. */
export interface Principal {
  readonly kind: PrincipalKind;
  /** The SPIFFE ID, DNS name, common name, token subject, or configured name. */
  readonly name: string;
  /** The peer's address, for audit; undefined on a Unix socket. */
  readonly peer?: string;
}
