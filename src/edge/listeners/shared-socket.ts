/**
 * A Unix socket that several edges serve in turn. Each listens on a name of its own beside the path; the path is a link to the one that
 * came last, and goes to another, without a moment between, when that one ends.
 */
import { randomBytes } from "node:crypto";
import { linkSync, lstatSync, readdirSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Clock, Timer } from "../../base/time/clock.ts";
import type { Listener } from "./listener.ts";
import { isLive, type Listening, listenAt, type UnixSocketOptions } from "./unix-socket.ts";

/** How often an edge looks whether the path is still served. */
const LOOK_MS = 100;
/** How long callers who connected before the path went elsewhere are still accepted. */
const ACCEPT_MS = 50;
const OWN_SUFFIX = /^\.[0-9a-f]{8}$/;

export async function bindSharedSocket(
  path: string,
  options: UnixSocketOptions,
  clock: Clock,
  listen: (path: string) => Promise<Listening>,
): Promise<Listener> {
  for (const other of namesBeside(path)) if (!(await isLive(other))) rmSync(other, { force: true });
  const own = join(dirname(path), `.${basename(path)}.${randomBytes(4).toString("hex")}`);
  const server = await listenAt(own, options, listen);
  try {
    take(path, own);
  } catch (error) {
    await server.close(0);
    throw error;
  }

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

  const leave = async (): Promise<void> => {
    if (closed) return;
    closed = true;
    timer.cancel();
    if (isSame(path, own)) await handOver(path, own);
    await new Promise((passed) => setTimeout(passed, ACCEPT_MS));
  };

  return {
    ...server,
    address: `unix:${path}`,
    async drain(timeoutMs) {
      await leave();
      await server.drain?.(timeoutMs);
    },
    async close(timeoutMs) {
      await leave();
      await server.close(timeoutMs);
      rmSync(own, { force: true });
    },
  };
}

/** The path goes to another edge that listens beside it; where there is none, it goes away. */
async function handOver(path: string, own: string): Promise<void> {
  for (const other of namesBeside(path)) {
    if (other === own || !(await isLive(other))) continue;
    try {
      return take(path, other);
    } catch {
      // Another user's: it takes the path by itself once it finds it gone.
    }
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

function namesBeside(path: string): string[] {
  const [folder, name] = [dirname(path), `.${basename(path)}`];
  return readdirSync(folder)
    .filter((file) => file.startsWith(name) && OWN_SUFFIX.test(file.slice(name.length)))
    .map((file) => join(folder, file))
    .filter((file) => lstatSync(file, { throwIfNoEntry: false })?.isSocket() === true);
}
