/** A socket's path: bound with mode and owner before anybody can connect, and given up only while it is still our own. */
import { chmodSync, chownSync, lstatSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { messageOf } from "../../base/errors.ts";
import type { Clock } from "../../base/time/clock.ts";
import { type Listener, ListenerError } from "./listener.ts";

export interface UnixSocketOptions {
  readonly mode: number;
  /** Numeric ids; -1 leaves one as it is. */
  readonly owner?: { readonly user: number; readonly group: number };
  /** Whether several edges serve this path in turn (`shared-socket.ts`). */
  readonly shared?: Clock;
}

export type Listening = Omit<Listener, "address">;

/** What a socket's path can hold (sockaddr_un), its end left away. */
const PATH_BYTES_MAX = 107;

/**
 * A stale socket file is replaced; one that somebody listens on is an error. `listen` binds the path that it is given.
 *
 * @throws {ListenerError}
 */
export async function bindUnixSocket(
  path: string,
  options: UnixSocketOptions,
  listen: (path: string) => Promise<Listening>,
): Promise<Listener> {
  if (options.shared === undefined && (await isLive(path))) {
    throw new ListenerError(`The socket ${path} is in use by another process. Stop it, or choose another path.`);
  }
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === false) {
    throw new ListenerError(`${path} exists and is no socket. Move it away, or choose another path.`);
  }
  if (options.shared !== undefined) {
    const { bindSharedSocket } = await import("./shared-socket.ts");
    return bindSharedSocket(path, options, options.shared, listen).catch((error: unknown) => {
      throw cannotListen(path, error);
    });
  }
  // Under a name of its own first: what is there is replaced in one step, and the runtime, which removes the name that it bound when it
  // closes, then removes nobody else's.
  const first = nameBeside(path);
  try {
    rmSync(first, { force: true });
    // Nobody else serves the path: there is nobody to hand over to.
    const { drain: _, ...server } = await listenAt(first, options, listen);
    const { ino, dev } = statSync(first);
    if (first !== path) renameSync(first, path);
    return {
      ...server,
      address: `unix:${path}`,
      async close(timeoutMs) {
        const now = lstatSync(path, { throwIfNoEntry: false });
        if (now?.ino === ino && now.dev === dev) rmSync(path, { force: true });
        await server.close(timeoutMs);
      },
    };
  } catch (error) {
    rmSync(first, { force: true });
    throw cannotListen(path, error);
  }
}

function cannotListen(path: string, error: unknown): ListenerError {
  return new ListenerError(
    `Cannot listen on the socket ${path}: ${messageOf(error)}. Check that its folder exists and may be written, and that the owner may be set.`,
  );
}

/** With mode and owner, before anybody can connect. */
export async function listenAt(
  path: string,
  { mode, owner }: UnixSocketOptions,
  listen: (path: string) => Promise<Listening>,
): Promise<Listening> {
  const before = process.umask(0o777);
  let server: Listening;
  try {
    server = await listen(path);
  } finally {
    process.umask(before);
  }
  if (owner !== undefined) chownSync(path, owner.user, owner.group);
  chmodSync(path, mode);
  return server;
}

/** In the same folder; the path itself where there is no room for another name, and on Deno, whose permissions name each socket. */
function nameBeside(path: string): string {
  if ("Deno" in globalThis) return path;
  const name = `.${basename(path).slice(0, 8)}.${(process.pid % 46_656).toString(36)}`;
  const beside = join(dirname(path), name);
  return Buffer.byteLength(beside) > PATH_BYTES_MAX ? path : beside;
}

/** Whether a process listens there. Sockets of `node:net` are loaded where something is in the place alone. */
export async function isLive(path: string): Promise<boolean> {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return false;
  const { connect } = await import("node:net");
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
