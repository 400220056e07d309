/** An authenticated caller: who, and how the edge knows. Made by a listener, one per socket or connection. */
export interface Principal {
  /** `listener`: named by the listener's configuration; `spiffe`, `dns`, `common_name`: by a certificate; `token`: by a JWT. */
  readonly kind: "listener" | "spiffe" | "dns" | "common_name" | "token";
  /** The SPIFFE ID, DNS name, common name, token subject, or configured name. */
  readonly name: string;
  /** The peer's address, for audit; undefined on a Unix socket. */
  readonly peer?: string;
}
