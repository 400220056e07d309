/** A Unix socket's file: who may use it, what becomes of one that is there already, and, where edges share one, whose it is now. */
import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, linkSync, lstatSync, readdirSync, renameSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { basename, dirname, join } from "node:path";
import { messageOf } from "../../base/errors.ts";
import type { Clock, Timer } from "../../base/time/clock.ts";
import { type Listener, ListenerError } from "./listener.ts";

export interface UnixSocketOptions {
  readonly mode: number;
  /** Numeric ids; -1 leaves one as it is. */
  readonly owner?: { readonly user: number; readonly group: number };
  /**
   * Whether several edges serve this path in turn. Each listens on a name of its own beside it; the path is a link to the one that came
   * last, and goes to another, without a moment between, when that one ends.
   */
  readonly shared?: Clock;
}

type Listening = Omit<Listener, "address">;

/** How often an edge looks whether the shared path is still served. */
const LOOK_MS = 100;
const ACCEPT_MS = 50;
const OWN_SUFFIX = /^\.[0-9a-f]{12}$/;

/**
 * A stale socket file is replaced; one that somebody listens on is an error, unless it is shared.
 *
 * @param listen Listens on the path that it is given.
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
  try {
    if (options.shared !== undefined) return await bindShared(path, options, options.shared, listen);
    rmSync(path, { force: true });
    return { ...(await listenAt(path, options, listen)), address: `unix:${path}` };
  } catch (error) {
    throw new ListenerError(
      `Cannot listen on the socket ${path}: ${messageOf(error)}. Check that its folder exists and may be written, and that the owner may be set.`,
    );
  }
}

async function listenAt(
  path: string,
  { mode, owner }: UnixSocketOptions,
  listen: (path: string) => Promise<Listening>,
): Promise<Listening> {
  // Nobody can connect between the socket's creation and its chmod.
  const before = process.umask(0o777);
  try {
    const server = await listen(path);
    if (owner !== undefined) chownSync(path, owner.user, owner.group);
    chmodSync(path, mode);
    return server;
  } finally {
    process.umask(before);
  }
}

async function bindShared(
  path: string,
  options: UnixSocketOptions,
  clock: Clock,
  listen: (path: string) => Promise<Listening>,
): Promise<Listener> {
  for (const other of await namesBeside(path)) if (!(await isLive(other))) rmSync(other, { force: true });
  const own = `${path}.${randomBytes(6).toString("hex")}`;
  const server = await listenAt(own, options, listen);
  take(path, own);

  let closed = false;
  let timer: Timer;
  const look = async (): Promise<void> => {
    try {
      if (!isSame(path, own) && !(await isLive(path)) && !closed) take(path, own);
    } catch {
      // Another edge was quicker, or the folder is gone: looked at again.
    }
    if (!closed) timer = clock.schedule(LOOK_MS, () => void look());
  };
  timer = clock.schedule(LOOK_MS, () => void look());

  return {
    ...server,
    address: `unix:${path}`,
    async close(timeoutMs) {
      if (!closed) {
        closed = true;
        timer.cancel();
        if (isSame(path, own)) await handOver(path, own);
        // Who connected just before is still to be accepted.
        await new Promise((passed) => setTimeout(passed, ACCEPT_MS));
      }
      await server.close(timeoutMs);
      rmSync(own, { force: true });
    },
  };
}

/** The path goes to another edge that listens beside it; where there is none, it goes away. */
async function handOver(path: string, own: string): Promise<void> {
  for (const other of await namesBeside(path)) {
    if (other === own || !(await isLive(other))) continue;
    return take(path, other);
  }
  rmSync(path, { force: true });
}

/** In one step, so that nobody finds no socket there. */
function take(path: string, from: string): void {
  const link = `${from}.link`;
  rmSync(link, { force: true });
  linkSync(from, link);
  renameSync(link, path);
  // Where both are one already, the rename leaves the link.
  rmSync(link, { force: true });
}

function isSame(path: string, own: string): boolean {
  const [one, other] = [path, own].map((name) => lstatSync(name, { throwIfNoEntry: false }));
  return one !== undefined && one.ino === other?.ino;
}

async function namesBeside(path: string): Promise<string[]> {
  const [folder, name] = [dirname(path), basename(path)];
  return readdirSync(folder)
    .filter((file) => file.startsWith(name) && OWN_SUFFIX.test(file.slice(name.length)))
    .map((file) => join(folder, file));
}

function isLive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
