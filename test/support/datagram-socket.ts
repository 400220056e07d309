import { dlopen } from "bun:ffi";

const libc = dlopen("libc.so.6", {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  recv: { args: ["i32", "ptr", "u64", "i32"], returns: "i64" },
  close: { args: ["i32"], returns: "i32" },
}).symbols;

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;

/** The other end of sd_notify, as a service manager has it. No runtime has Unix datagram sockets. */
export class DatagramSocket {
  readonly #descriptor: number;

  constructor(path: string) {
    this.#descriptor = libc.socket(AF_UNIX, SOCK_DGRAM, 0);
    const address = Buffer.concat([Buffer.from([AF_UNIX, 0]), Buffer.from(`${path}\0`)]);
    if (path.startsWith("@")) address[2] = 0;
    const length = path.startsWith("@") ? address.length - 1 : address.length;
    if (libc.bind(this.#descriptor, address, length) !== 0) throw new Error(`can't bind ${path}`);
  }

  /** What has arrived, a message each. */
  messages(): string[] {
    const messages: string[] = [];
    const buffer = Buffer.alloc(4096);
    for (;;) {
      const length = Number(libc.recv(this.#descriptor, buffer, buffer.length, MSG_DONTWAIT));
      if (length <= 0) return messages;
      messages.push(buffer.toString("utf8", 0, length));
    }
  }

  [Symbol.dispose](): void {
    libc.close(this.#descriptor);
  }
}
