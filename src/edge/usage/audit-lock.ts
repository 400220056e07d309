/**
 * One writer for each audit file. Two edges on one path would each go on with the chain from the same line, and rotate the
 * file away under each other.
 *
 * Node's interfaces have no file locks, and a number in a file outlives the process that it names (and names another one in
 * another container). So the lock is a Unix socket beside the file: while its process lives, the kernel takes connections on
 * it; after any end, `kill -9` included, it refuses them, and the next edge takes the name over.
 */
import { chmodSync, closeSync, linkSync, lstatSync, mkdirSync, openSync, renameSync, rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { basename, dirname, join } from "node:path";
import { messageOf } from "../../base/errors.ts";

export interface AuditLock {
  /** May be called twice. */
  release(): void;
}

/** A place for sockets has 108 bytes at most, on some systems fewer. */
const LONGEST_SOCKET_PATH = 100;
/** Others may come and go while the lock is taken, but not without end. */
const ATTEMPTS = 5;
/** What file systems say that have no sockets, or no second names. */
const NOT_SUPPORTED = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EINVAL"]);

/**
 * Takes the lock of the audit file at `path`. Where the file system can have none, warns and goes on.
 *
 * @throws when another process writes this file
 */
export async function lockAuditFile(path: string, warn: (message: string) => void): Promise<AuditLock> {
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true });
  // Hidden: `audit verify audit.jsonl*` must not meet it.
  const name = join(folder, `.${basename(path)}.lock`);
  const own = `${name}.${Buffer.from(crypto.getRandomValues(new Uint8Array(6))).toString("hex")}`;
  let server: Server | undefined;
  try {
    server = await listen(own);
    chmodSync(own, 0o600);
    const { ino } = lstatSync(own);
    await takeName(own, name, path);
    const holding = server;
    let held = true;
    return {
      release() {
        if (!held) return;
        held = false;
        if (lstatSync(name, { throwIfNoEntry: false })?.ino === ino) rmSync(name, { force: true });
        holding.close();
      },
    };
  } catch (error) {
    server?.close();
    if (!NOT_SUPPORTED.has((error as NodeJS.ErrnoException).code ?? "")) throw error;
    warn(`Nothing keeps a second edge from writing ${path}: no lock can be held there (${messageOf(error)}).`);
    return { release() {} };
  } finally {
    rmSync(own, { force: true });
  }
}

/** Gives the socket the lock's name, which only one can have. */
async function takeName(own: string, name: string, path: string): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    try {
      return linkSync(own, name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const found = lstatSync(name, { throwIfNoEntry: false });
    if (found === undefined) continue;
    if (!found.isSocket()) throw new Error(`${name} is in the way: it is no lock of an edge. Move it away.`);
    if (await isHeld(name)) break;
    // What was left behind goes aside; if it is another edge's new lock by now, it gets its name back.
    const aside = `${own}.old`;
    try {
      renameSync(name, aside);
    } catch {
      continue;
    }
    if (lstatSync(aside).ino !== found.ino) linkSync(aside, name);
    rmSync(aside, { force: true });
  }
  throw new Error(`another edge writes ${path}. Stop it, or give each its own audit.file.path`);
}

function listen(path: string): Promise<Server> {
  // Whoever asks whether it is held knows by the connection alone.
  const server = createServer((socket) => socket.destroy());
  const { place, done } = socketPlace(path);
  return new Promise<Server>((resolve, reject) => {
    server.once("error", reject);
    server.listen(place, () => resolve(server));
  })
    .then((listening) => {
      listening.unref();
      return listening;
    })
    .finally(done);
}

function isHeld(path: string): Promise<boolean> {
  const { place, done } = socketPlace(path);
  return new Promise<boolean>((resolve) => {
    const socket = connect(place);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    // Anything but a refusal may be an edge that is busy, or one of another user.
    socket.once("error", (error: NodeJS.ErrnoException) =>
      resolve(error.code !== "ECONNREFUSED" && error.code !== "ENOENT"),
    );
  }).finally(done);
}

/** The path as a socket's address; a long one by way of its folder's descriptor. */
function socketPlace(path: string): { place: string; done: () => void } {
  if (Buffer.byteLength(path) <= LONGEST_SOCKET_PATH || process.platform !== "linux") {
    return { place: path, done() {} };
  }
  const folder = openSync(dirname(path), "r");
  return { place: `/proc/self/fd/${folder}/${basename(path)}`, done: () => closeSync(folder) };
}
