/**
 * Accepts connections without TLS, on a port or a Unix socket: by `Bun.listen`, whose sockets cost less than those of
 * `node:net`, or by `node:net` on Deno.
 */
import type { Http1Socket } from "../../base/network/http1/socket.ts";
import { isTurnUsed, useTurn, yieldToEventLoop } from "../../base/time/turns.ts";

export type PlainAddress =
  /** `reusePort`: whether other processes of this edge listen on the same port (`SO_REUSEPORT`). */
  { readonly hostname: string; readonly port: number; readonly reusePort: boolean } | { readonly unix: string };

export interface PlainServer {
  /** Undefined on a Unix socket. */
  readonly port: number | undefined;
  /** Of the socket that listens; undefined where the runtime does not tell. */
  readonly descriptor: number | undefined;
  /** Accepts no more; open connections go on. */
  stop(): void;
}

/** @throws an error with `code: "EADDRINUSE"` for an address in use */
export async function acceptPlain(
  address: PlainAddress,
  onConnection: (socket: Http1Socket) => void,
): Promise<PlainServer> {
  if (typeof Bun === "undefined") return acceptByNode(address, onConnection);
  const begin = inTurns(onConnection);
  const listener = Bun.listen<BunSocket>({
    ...(address as { hostname: string; port: number }),
    allowHalfOpen: true,
    socket: {
      open(socket) {
        socket.data = new BunSocket(socket);
        begin(socket.data);
      },
      data: (socket, bytes) => socket.data.onData(bytes),
      drain: (socket) => socket.data.drain(),
      end: (socket) => socket.data.onEnd(),
      close: (socket) => socket.data.closed(),
      error: (socket) => socket.data.destroy(),
    },
  });
  const { fd } = listener as { readonly fd?: number };
  return { port: "unix" in address ? undefined : listener.port, descriptor: fd, stop: () => listener.stop() };
}

/** New connections that a turn of the event loop begins at once, and a slice of one then. Each takes some 30 µs. */
const CONNECTIONS_PER_TURN = 32;

/**
 * The runtime accepts whatever has come: of a crowd most wait, unread, for slices of later turns, so that callers who are connected are served
 * in between.
 */
function inTurns(onConnection: (socket: Http1Socket) => void): (socket: BunSocket) => void {
  const waiting: BunSocket[] = [];
  async function beginWaiting(): Promise<void> {
    while (waiting.length > 0) {
      await yieldToEventLoop();
      for (const socket of waiting.splice(0, CONNECTIONS_PER_TURN)) {
        if (socket.destroyed) continue;
        onConnection(socket);
        socket.resume();
      }
    }
  }
  return (socket) => {
    if (waiting.length === 0 && !isTurnUsed()) {
      useTurn(1 / CONNECTIONS_PER_TURN);
      return onConnection(socket);
    }
    socket.pause();
    waiting.push(socket);
    if (waiting.length === 1) void beginWaiting();
  };
}

/** A socket of Bun's, which takes what fits at once and leaves the rest to the caller. */
class BunSocket implements Http1Socket {
  readonly #socket: Bun.Socket<BunSocket>;
  /** What the kernel has not taken yet. */
  #waiting: Buffer | undefined;
  #ending = false;
  readonly #onClose: (() => void)[] = [];
  #onDrain: () => void = ignore;
  onData: (bytes: Buffer) => void = ignore;
  onEnd: () => void = ignore;
  destroyed = false;

  get remoteAddress(): string | undefined {
    return this.#socket.remoteAddress || undefined;
  }

  constructor(socket: Bun.Socket<BunSocket>) {
    this.#socket = socket;
  }

  on(event: "data" | "close" | "end" | "drain", listener: (bytes: Buffer) => void): void {
    const call = listener as () => void;
    if (event === "data") this.onData = listener;
    else if (event === "end") this.onEnd = call;
    else if (event === "close") this.#onClose.push(call);
    else this.#onDrain = call;
  }

  write(data: string | Uint8Array): boolean {
    if (this.destroyed) return false;
    if (this.#waiting !== undefined) {
      this.#waiting = Buffer.concat([this.#waiting, Buffer.from(data as string, "latin1")]);
      return false;
    }
    const written = this.#socket.write(data);
    if (written === data.length) return true;
    if (written < 0) return this.#broken();
    this.#waiting = Buffer.from(data as string, "latin1").subarray(written);
    return false;
  }

  writePart(bytes: Buffer, start: number, end: number): boolean {
    if (this.destroyed) return false;
    if (this.#waiting !== undefined) {
      this.#waiting = Buffer.concat([this.#waiting, bytes.subarray(start, end)]);
      return false;
    }
    const length = end - start;
    const written = this.#socket.write(bytes, start, length);
    if (written === length) return true;
    if (written < 0) return this.#broken();
    this.#waiting = Buffer.from(bytes.subarray(start + written, end));
    return false;
  }

  /**
   * The other side has reset the connection, and the system has told so by this write: where reading is paused no other sign of it comes.
   * Told to those who wait once they have returned.
   */
  #broken(): false {
    queueMicrotask(() => this.destroy());
    return false;
  }

  drain(): void {
    if (this.#waiting !== undefined) {
      const written = this.#socket.write(this.#waiting);
      if (written < 0) return void this.#broken();
      if (written < this.#waiting.length) {
        this.#waiting = this.#waiting.subarray(written);
        return;
      }
      this.#waiting = undefined;
      if (this.#ending) this.#socket.shutdown();
    }
    this.#onDrain();
  }

  end(): void {
    if (this.#ending) return;
    this.#ending = true;
    if (this.#waiting === undefined) this.#socket.shutdown();
  }

  destroy(): void {
    if (!this.destroyed) this.#socket.close();
  }

  closed(): void {
    this.destroyed = true;
    this.#waiting = undefined;
    for (const call of this.#onClose) call();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }
}

function ignore(): void {}

async function acceptByNode(address: PlainAddress, onConnection: (socket: Http1Socket) => void): Promise<PlainServer> {
  if (!("unix" in address)) {
    const { requireListenPermission } = await import("../../base/network/listen-permission.ts");
    requireListenPermission(address.hostname, address.port);
  }
  const { createServer } = await import("node:net");
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    onConnection(socket as unknown as Http1Socket);
  });
  const where =
    "unix" in address
      ? { path: address.unix }
      : { host: address.hostname, port: address.port, reusePort: address.reusePort };
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const bound = server.address();
  return {
    port: typeof bound === "object" && bound !== null ? bound.port : undefined,
    descriptor: undefined,
    stop: () => void server.close(),
  };
}
