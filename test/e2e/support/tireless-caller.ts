/** A client that never stops calling, and never tries again: each call gets its answer, or is counted as refused or lost. */
import { randomUUID } from "node:crypto";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

export type CallAddress =
  | { readonly path: string }
  | { readonly port: number; readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string } };

export interface Calls {
  answered: number;
  /** Answers that said that they are their connection's last. */
  toldToMove: number;
  /** A connection could not be made. */
  readonly refused: string[];
  /** A connection was there, and no answer came; or another answer than success. */
  readonly lost: string[];
}

const BODY = JSON.stringify({ tenant: "tenant-a", service: "billing" });

export class TirelessCaller {
  readonly calls: Calls = { answered: 0, toldToMove: 0, refused: [], lost: [] };
  readonly #address: CallAddress;
  readonly #loops: Promise<void>[];
  #stopping = false;

  /** `kept` loops keep their connections; `fresh` ones make one for each call. */
  constructor(address: CallAddress, { kept, fresh }: { readonly kept: number; readonly fresh: number }) {
    this.#address = address;
    this.#loops = Array.from({ length: kept + fresh }, (_, index) => this.#loop(index < kept));
  }

  /** Waits until so many more calls have been answered. */
  async more(count: number): Promise<void> {
    const goal = this.calls.answered + count;
    const endMs = performance.now() + 60_000;
    while (this.calls.answered < goal) {
      if (performance.now() > endMs) throw new Error(`calls are not answered: ${JSON.stringify(this.calls)}`);
      await new Promise((resume) => setTimeout(resume, 10));
    }
  }

  async stop(): Promise<Calls> {
    this.#stopping = true;
    await Promise.all(this.#loops);
    return this.calls;
  }

  async #loop(keeps: boolean): Promise<void> {
    let connection: Connection | undefined;
    while (!this.#stopping) {
      try {
        connection ??= await Connection.open(this.#address);
      } catch (error) {
        this.calls.refused.push(String(error));
        continue;
      }
      try {
        const { status, isLast } = await connection.call(keeps);
        if (status === 201 || status === 200) this.calls.answered++;
        else this.calls.lost.push(`status ${status}`);
        if (keeps && isLast) this.calls.toldToMove++;
        if (!isLast) continue;
      } catch (error) {
        this.calls.lost.push(String(error));
      }
      connection.end();
      connection = undefined;
    }
    connection?.end();
  }
}

class Connection {
  readonly #socket: Socket;
  #came = "";
  #wake: () => void = () => {};
  #ended = false;

  static async open(address: CallAddress): Promise<Connection> {
    const socket =
      "path" in address
        ? connect(address.path)
        : address.tls === undefined
          ? connect(address.port, "127.0.0.1")
          : connectTls({ host: "127.0.0.1", port: address.port, servername: "localhost", ...address.tls });
    const ready = "port" in address && address.tls !== undefined ? "secureConnect" : "connect";
    const connection = new Connection(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once(ready, resolve);
      socket.once("error", reject);
      socket.once("close", () => reject(new Error("closed before it was made")));
    });
    return connection;
  }

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (text) => {
      this.#came += text;
      this.#wake();
    });
    const ended = (): void => {
      this.#ended = true;
      this.#wake();
    };
    socket.on("error", ended);
    socket.on("end", ended);
    socket.on("close", ended);
  }

  async call(keeps: boolean): Promise<{ readonly status: number; readonly isLast: boolean }> {
    this.#socket.write(
      `POST /v1/keys/create HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-Request-Id: ${randomUUID()}\r\n` +
        `Content-Length: ${BODY.length}\r\n${keeps ? "" : "Connection: close\r\n"}\r\n${BODY}`,
    );
    for (;;) {
      const headEnd = this.#came.indexOf("\r\n\r\n");
      if (headEnd >= 0) {
        const head = this.#came.slice(0, headEnd);
        const length = Number(/^content-length: (\d+)/im.exec(head)?.[1]);
        if (this.#came.length >= headEnd + 4 + length) {
          this.#came = this.#came.slice(headEnd + 4 + length);
          return { status: Number(head.slice(9, 12)), isLast: /^connection: close/im.test(head) };
        }
      }
      if (this.#ended) throw new Error(`the connection ended after ${this.#came.length} bytes of an answer`);
      await new Promise<void>((resume) => {
        this.#wake = resume;
      });
    }
  }

  end(): void {
    this.#socket.destroy();
  }
}
