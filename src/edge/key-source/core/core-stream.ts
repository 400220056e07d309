/** An answer that is read as it comes. */
import type { CoreSocket } from "./core-socket.ts";

/** Told of the bytes, and at last of the end or of a fault. */
export interface StreamReader {
  onBytes(bytes: Buffer): void;
  onEnd(): void;
  onFault(error: Error): void;
}

export class CoreStream implements StreamReader {
  readonly #socket: CoreSocket;
  #reader: StreamReader | undefined;
  /** What has come before there was a reader. */
  readonly #early: ((reader: StreamReader) => void)[] = [];

  constructor(socket: CoreSocket) {
    this.#socket = socket;
  }

  /** Called once. */
  read(reader: StreamReader): void {
    this.#reader = reader;
    for (const tell of this.#early.splice(0)) tell(reader);
  }

  /** The reader hears no more of it, and its connection ends. */
  destroy(): void {
    this.#socket.destroy();
  }

  onBytes(bytes: Buffer): void {
    if (this.#reader === undefined) this.#early.push((reader) => reader.onBytes(bytes));
    else this.#reader.onBytes(bytes);
  }

  onEnd(): void {
    if (this.#reader === undefined) this.#early.push((reader) => reader.onEnd());
    else this.#reader.onEnd();
  }

  onFault(error: Error): void {
    if (this.#reader === undefined) this.#early.push((reader) => reader.onFault(error));
    else this.#reader.onFault(error);
  }
}
