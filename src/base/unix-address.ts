/** What a socket's path can hold (sockaddr_un), its end left away. */
export const SOCKET_PATH_BYTES_MAX = 107;

/** What is added to the path of a shared socket: the name under which one edge listens beside it. */
const SHARED_SOCKET_SUFFIX_BYTES = ".".length + ".".length + 8;

/** @throws Error with a sentence when no socket can be bound at a path so long */
export function checkSocketPathLength(path: string, shared: boolean): void {
  const bytesMax = SOCKET_PATH_BYTES_MAX - (shared ? SHARED_SOCKET_SUFFIX_BYTES : 0);
  if (Buffer.byteLength(path) <= bytesMax) return;
  throw new Error(
    `${path} has more than ${bytesMax} bytes, which no ${shared ? "shared " : ""}socket's path may: choose a shorter one`,
  );
}

/** A `sockaddr_un` of Linux: a path, or with `@` a name of the abstract namespace. Undefined for what is neither, and for what is too long. */
export function unixAddress(path: string): Uint8Array | undefined {
  const name = Buffer.from(path, "utf8");
  if (name.length > SOCKET_PATH_BYTES_MAX || (name[0] !== 0x2f && name[0] !== 0x40)) return undefined;
  const abstract = name[0] === 0x40;
  const address = new Uint8Array(2 + name.length + (abstract ? 0 : 1));
  new DataView(address.buffer).setUint16(0, 1, true);
  address.set(name, 2);
  if (abstract) address[2] = 0;
  return address;
}
