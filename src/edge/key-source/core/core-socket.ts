/** One connection to the Core: HTTP/1.1 over TLS, one call after another. */
import { isIP } from "node:net";
import { connect, type TLSSocket } from "node:tls";
import { ChunkReader } from "../../../base/network/http1/chunks.ts";
import type { CoreCertificates } from "./core-certificates.ts";
import { type AnswerHead, parseAnswerHead, type ReadHead } from "./http-answer.ts";

export interface CoreAddress {
  readonly host: string;
  readonly port: number;
  /** The name that the Core's certificate must carry, where it is not the host. */
  readonly serverName: string | undefined;
  readonly certificates: CoreCertificates;
}

/** A call as it is sent, and who reads its answer: told of the head once, and at last of the end or of a fault. */
export interface Exchange {
  readonly head: string;
  readonly body: string | Uint8Array | undefined;
  /** Begun on this connection, which `destroy` gives up. */
  onBegin(socket: CoreSocket): void;
  onHead(head: AnswerHead): void;
  /** The head was the last that came: the body, or some of it, is still awaited. */
  onBodyAwaited(): void;
  onBytes(bytes: Buffer): void;
  onEnd(): void;
  onFault(error: NodeJS.ErrnoException): void;
}

/** Told when a connection can take another call, and when it is no more. */
export interface SocketOwner {
  onFree(socket: CoreSocket): void;
  onGone(socket: CoreSocket): void;
}

const HEAD_BYTES_MAX = 16_384;
const HEAD_END = Buffer.from("\r\n\r\n");
const KEEP_ALIVE_MS = 1_000;

export class CoreSocket {
  readonly #socket: TLSSocket;
  readonly #owner: SocketOwner;
  #isSecure = false;
  #isGone = false;
  #answered = 0;
  #exchange: Exchange | undefined;
  #head: ReadHead | undefined;
  /** What has come of a head. */
  #begun: Buffer | undefined;
  /** Bytes of the body that are still to come, where its length is known. */
  #remaining = 0;
  #chunks: ChunkReader | undefined;
  readonly #give = (part: Buffer): void => this.#exchange?.onBytes(part);

  constructor(address: CoreAddress, owner: SocketOwner) {
    const { host, port, serverName = isIP(host) === 0 ? host : undefined, certificates } = address;
    this.#owner = owner;
    const socket = connect({
      host,
      port,
      ca: certificates.ca,
      cert: certificates.cert,
      key: certificates.key,
      minVersion: "TLSv1.3",
      rejectUnauthorized: true,
      ALPNProtocols: ["http/1.1"],
      ...(serverName === undefined ? {} : { servername: serverName }),
    });
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    // Nothing is sent before the Core's certificate is known to be right.
    socket.once("secureConnect", () => {
      this.#isSecure = true;
      if (this.#exchange !== undefined) this.#write(this.#exchange);
    });
    socket.on("data", (bytes: Buffer) => this.#take(bytes));
    socket.on("end", () => {
      // The end of an answer that has no other.
      if (this.#head?.framing === "close") this.#ended(false);
      this.#fail(closed());
    });
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(closed()));
  }

  /** Whether it has answered a call: then the Core may have closed it as one without use, before it saw the next. */
  get isReused(): boolean {
    return this.#answered > 0;
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  begin(exchange: Exchange): void {
    this.#exchange = exchange;
    this.#head = undefined;
    exchange.onBegin(this);
    if (this.#isSecure) this.#write(exchange);
  }

  /** While nothing is asked, it does not keep the process alive. */
  keepsAlive(does: boolean): void {
    if (does) this.#socket.ref();
    else this.#socket.unref();
  }

  /** Whoever reads an answer hears no more of it. */
  destroy(): void {
    this.#exchange = undefined;
    this.#gone();
  }

  #write({ head, body }: Exchange): void {
    if (typeof body !== "object") {
      this.#socket.write(body === undefined ? head : head + body);
    } else {
      this.#socket.write(head);
      this.#socket.write(body);
    }
  }

  #take(bytes: Buffer): void {
    // Nothing was asked: nothing that comes now is an answer.
    if (this.#exchange === undefined) {
      this.#gone();
      return;
    }
    try {
      const hadHead = this.#head !== undefined;
      const place = hadHead ? 0 : this.#takeHead(bytes);
      if (place === undefined) return;
      this.#takeBody(place === 0 ? bytes : bytes.subarray(place));
      if (!hadHead) (this.#exchange as Exchange | undefined)?.onBodyAwaited();
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  /** Where, in these bytes, the body begins; undefined where the head is not whole, or nobody reads on. */
  #takeHead(bytes: Buffer): number | undefined {
    const before = this.#begun?.length ?? 0;
    let text = this.#begun === undefined ? bytes : Buffer.concat([this.#begun, bytes]);
    let dropped = 0;
    this.#begun = undefined;
    for (;;) {
      const end = text.indexOf(HEAD_END);
      if (end > HEAD_BYTES_MAX || (end < 0 && text.length > HEAD_BYTES_MAX)) {
        throw new Error("the head of its answer is too large");
      }
      if (end < 0) {
        this.#begun = text;
        return undefined;
      }
      const head = parseAnswerHead(text.toString("latin1", 0, end));
      if (head.status === 101) throw new Error("it speaks another protocol");
      if (head.status >= 200) {
        this.#head = head;
        this.#remaining = typeof head.framing === "number" ? head.framing : 0;
        this.#chunks = head.framing === "chunked" ? new ChunkReader() : undefined;
        this.#exchange!.onHead(head);
        return this.#exchange === undefined ? undefined : dropped + end + 4 - before;
      }
      dropped += end + 4;
      text = text.subarray(end + 4);
    }
  }

  #takeBody(bytes: Buffer): void {
    const { framing } = this.#head!;
    let taken = bytes.length;
    if (framing === "chunked") {
      taken = this.#chunks!.take(bytes, this.#give);
      if (!this.#chunks!.isOver) return;
    } else if (framing === "close") {
      if (taken > 0) this.#exchange!.onBytes(bytes);
      return;
    } else {
      taken = Math.min(taken, this.#remaining);
      this.#remaining -= taken;
      if (taken > 0) this.#exchange!.onBytes(taken === bytes.length ? bytes : bytes.subarray(0, taken));
      if (this.#remaining > 0) return;
    }
    this.#ended(taken === bytes.length);
  }

  #ended(isExact: boolean): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    this.#exchange = undefined;
    this.#answered++;
    // An answer that came before all of its call was sent leaves the rest of that on the way.
    const isReusable = isExact && this.#head!.keepAlive && this.#socket.writableLength === 0;
    exchange.onEnd();
    if (isReusable) this.#owner.onFree(this);
    else this.#gone();
  }

  #fail(error: NodeJS.ErrnoException): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#gone();
    exchange?.onFault(error);
  }

  #gone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#socket.destroy();
    this.#owner.onGone(this);
  }
}

function closed(): NodeJS.ErrnoException {
  return Object.assign(new Error("the connection was closed"), { code: "ECONNRESET" });
}
