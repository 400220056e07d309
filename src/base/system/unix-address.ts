/** What a socket's path can hold (sockaddr_un), its end left away. */
export const SOCKET_PATH_BYTES_MAX = 107;

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
