/** Where requests come in: the port of the listeners. */
export interface Listener {
  /** What is served, as shown to a person: `http://127.0.0.1:7402`, `unix:/run/crypto-edge/billing.sock`. */
  readonly address: string;
  /** Stops accepting, lets requests in flight finish for at most `timeoutMs`, then cuts them. May be called twice. */
  close(timeoutMs: number): Promise<void>;
}

export type Handler = (request: Request) => Response | Promise<Response>;

export interface ListenerLimits {
  /** The longest body taken, in bytes; a longer one is answered 413. */
  readonly bodyBytesMax: number;
}

/** A listener that cannot be opened: the sentence says which and what to do. */
export class ListenerError extends Error {
  override readonly name = "ListenerError";
}
