/** What an adapter says of itself for /readyz and status. Made from memory: asking costs nothing and reaches nothing. */
export interface Health {
  readonly ok: boolean;
  /** One sentence for an operator: what is wrong, and what to do. Never a key, a token or a PIN. */
  readonly detail?: string;
}
