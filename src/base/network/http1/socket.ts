/** The part of a socket that HTTP/1.1 needs: of `node:net`, `node:tls`, and Bun's own. */
export interface Http1Socket {
  /** Takes all of it, text in ASCII; false: the other side reads slower than this, wait for `drain` before the next. */
  write(data: string | Uint8Array, encoding?: BufferEncoding): boolean;
  /** The same of a part of a buffer that is used again at once: nothing of it is kept. Undefined where the system's sockets would keep it. */
  writePart?(bytes: Buffer, start: number, end: number): boolean;
  end(): void;
  destroy(): void;
  pause(): void;
  resume(): void;
  /** After `end`: what still comes is thrown away, unread by anyone, until the other side ends too. False, and undefined: it comes as ever. */
  discard?(): boolean;
  /** Undefined on a Unix socket. */
  readonly remoteAddress?: string | undefined;
  on(event: "data", listener: (bytes: Buffer) => void): unknown;
  on(event: "close" | "end" | "drain", listener: () => void): unknown;
  readonly destroyed: boolean;
}
