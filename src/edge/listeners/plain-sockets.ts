/**
 * Accepts connections without TLS, on a port or a Unix socket: by `Bun.listen`, whose sockets cost less than those of
 * `node:net`, or by `node:net` on Deno.
 */
import { discardReceived } from "../../base/network/discard-received.ts";
import type { Http1Socket } from "../../base/network/http1/socket.ts";
import { inTurns } from "../../base/network/in-turns.ts";
import { runForStart } from "../../base/system/start-code.ts";
import { useTurn, whenTurnHasRoom } from "../../base/time/turns.ts";

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
  const begin = inTurns<BunSocket>(CONNECTIONS_PER_TURN, (socket, hasWaited) => {
    onConnection(socket);
    if (hasWaited) socket.resume();
  });
  const end = inTurns<BunSocket>(ENDS_PER_TURN, (socket) => socket.ended());
  const listener = Bun.listen<BunSocket>({
    ...(address as { hostname: string; port: number }),
    allowHalfOpen: true,
    socket: {
      open(socket) {
        socket.data = new BunSocket(socket);
        // It waits unread.
        if (!begin(socket.data)) socket.data.pause();
      },
      data: (socket, bytes) => socket.data.onData(bytes),
      drain: (socket) => socket.data.drain(),
      end: (socket) => void end(socket.data),
      close: (socket) => socket.data.closed(),
      error: (socket) => socket.data.destroy(),
    },
  });
  const { fd } = listener as { readonly fd?: number };
  const { boundReceiveBuffers } = await runForStart(() => import("../../base/network/receive-buffer.ts"));
  await boundReceiveBuffers(fd);
  return { port: "unix" in address ? undefined : listener.port, descriptor: fd, stop: () => listener.stop() };
}

/** What is given to the kernel in one go. */
const WRITE_BYTES = 65_536;

/** Each takes some 30 µs. */
const CONNECTIONS_PER_TURN = 8;
/** Each takes some 15 µs. */
const ENDS_PER_TURN = 16;

/** A socket of Bun's, which takes what fits at once and leaves the rest to the caller. */
class BunSocket implements Http1Socket {
  readonly #socket: Bun.Socket<BunSocket>;
  /** What the kernel has not taken yet. */
  #waiting: Uint8Array | undefined;
  #ending = false;
  /** The other side sends no more. */
  #halfClosed = false;
  #discards = false;
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
      const more = typeof data === "string" ? Buffer.from(data, "latin1") : data;
      this.#waiting = Buffer.concat([this.#waiting, more]);
      return false;
    }
    if (data.length <= WRITE_BYTES) {
      const written = this.#socket.write(data);
      if (written === data.length) return true;
      if (written < 0) return this.#broken();
      this.#waiting = typeof data === "string" ? Buffer.from(data.slice(written), "latin1") : data.subarray(written);
      return false;
    }
    this.#waiting = typeof data === "string" ? Buffer.from(data, "latin1") : data;
    return this.#writeWaiting();
  }

  /** True: all of it has been taken. What the kernel would take in one go, megabytes, goes out in turns with everyone else's requests. */
  #writeWaiting(): boolean {
    const waiting = this.#waiting!;
    const length = Math.min(waiting.length, WRITE_BYTES);
    const written = this.#socket.write(waiting, 0, length);
    if (written < 0) return this.#broken();
    this.#waiting = written < waiting.length ? waiting.subarray(written) : undefined;
    if (this.#waiting === undefined) return true;
    // Where the kernel took less, the runtime says when it takes more.
    if (written === length) {
      whenTurnHasRoom(() => {
        useTurn(1);
        if (!this.destroyed && this.#waiting !== undefined) this.drain();
      });
    }
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
      if (!this.#writeWaiting()) return;
      if (this.#ending) this.#finish();
    }
    this.#onDrain();
  }

  end(): void {
    if (this.#ending) return;
    this.#ending = true;
    if (this.#waiting === undefined) this.#finish();
  }

  /** The system sends what it has taken, whichever way. Where nothing more can come there is nothing to wait for. */
  #finish(): void {
    if (this.#halfClosed) this.#socket.close();
    else this.#socket.shutdown();
  }

  /** The other side sends no more. */
  ended(): void {
    this.#halfClosed = true;
    this.onEnd();
    if (this.#ending && this.#waiting === undefined) this.destroy();
  }

  destroy(): void {
    if (!this.destroyed) this.#socket.close();
  }

  closed(): void {
    this.destroyed = true;
    this.#waiting = undefined;
    for (const call of this.#onClose) call();
  }

  discard(): boolean {
    this.#socket.pause();
    this.#discards ||= discardReceived((this.#socket as unknown as { readonly fd: number }).fd, this);
    return this.#discards;
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
  const { readInTurns } = await import("../../base/network/read-in-turns.ts");
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    readInTurns(socket);
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
