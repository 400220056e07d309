/** A socket's path: bound with mode and owner before anybody can connect, and given up only while it is still our own. */
import { chmodSync, chownSync, lstatSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { FileOwner } from "../../base/config/schema-types.ts";
import { messageOf } from "../../base/errors.ts";
import { errnoName, loadSystemCalls } from "../../base/system/system-calls.ts";
import type { Clock } from "../../base/time/clock.ts";
import { checkSocketPathLength, SOCKET_PATH_BYTES_MAX, unixAddress } from "../../base/unix-address.ts";
import { type Listener, ListenerError } from "./listener.ts";

export interface UnixSocketOptions {
  readonly mode: number;
  readonly owner?: FileOwner;
  /** Whether several edges serve this path in turn (`shared-socket.ts`). */
  readonly shared?: Clock;
}

export type Listening = Omit<Listener, "address">;

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
  try {
    checkSocketPathLength(path, options.shared !== undefined);
  } catch (error) {
    throw new ListenerError(`Cannot listen: ${messageOf(error)}.`);
  }
  const use = options.shared === undefined ? await useOf(path) : undefined;
  if (use === "in use") {
    throw new ListenerError(`The socket ${path} is in use by another process. Stop it, or choose another path.`);
  }
  if (use !== undefined) {
    throw new ListenerError(
      `The socket ${path} may be in use by another process (${use}). Stop it, or choose another path.`,
    );
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
  let server: Listening | undefined;
  try {
    rmSync(first, { force: true });
    server = await listenAt(first, options, listen);
    const { ino, dev } = statSync(first);
    if (first !== path) renameSync(first, path);
    // Nobody else serves the path: there is nobody to hand over to.
    const { drain: _, ...alone } = server;
    return {
      ...alone,
      address: `unix:${path}`,
      async close(timeoutMs) {
        const now = lstatSync(path, { throwIfNoEntry: false });
        if (now?.ino === ino && now.dev === dev) rmSync(path, { force: true });
        await alone.close(timeoutMs);
      },
    };
  } catch (error) {
    await server?.close(0);
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
  try {
    if (owner !== undefined) chownSync(path, owner.user, owner.group);
    chmodSync(path, mode);
    return server;
  } catch (error) {
    await server.close(0);
    throw error;
  }
}

/** In the same folder; the path itself where there is no room for another name, and on Deno, whose permissions name each socket. */
function nameBeside(path: string): string {
  if ("Deno" in globalThis) return path;
  const name = `.${basename(path).slice(0, 8)}.${(process.pid % 46_656).toString(36)}`;
  const beside = join(dirname(path), name);
  return Buffer.byteLength(beside) > SOCKET_PATH_BYTES_MAX ? path : beside;
}

/** Whether a process listens there, or may. */
export async function isLive(path: string): Promise<boolean> {
  return (await useOf(path)) !== undefined;
}

/** Errors of Linux. */
const ENOENT = 2;
const EPROTOTYPE = 91;
const ECONNREFUSED = 111;

/**
 * Why the socket is to be left alone: it is in use, or the error by which that can't be told. Undefined: nobody does. A datagram is tried where
 * that can be, which a listener's socket is of the wrong kind for: nobody has a connection to accept, and a listener with too many, whose
 * refusal Bun tells as nobody's, is one.
 */
async function useOf(path: string): Promise<string | undefined> {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return undefined;
  const { calls } = await loadSystemCalls();
  const address = unixAddress(path);
  if (calls?.platform !== "linux" || address === undefined) return useByConnecting(path);
  if (calls.sendDatagram(address, new Uint8Array(0)) >= 0) return "in use";
  const errno = calls.errno();
  if (errno === ECONNREFUSED || errno === ENOENT) return undefined;
  return errno === EPROTOTYPE ? "in use" : errnoName(errno);
}

async function useByConnecting(path: string): Promise<string | undefined> {
  const { connect } = await import("node:net");
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve("in use");
    });
    socket.once("error", ({ code = "an error" }: NodeJS.ErrnoException) => {
      resolve(code === "ECONNREFUSED" || code === "ENOENT" ? undefined : code);
    });
  });
}
