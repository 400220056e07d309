/** What must hold before several processes listen on one port. */
import { messageOf } from "../../base/errors.ts";
import { requireListenPermission } from "../../base/network/listen-permission.ts";
import type { Configuration } from "../config/schema.ts";
import { ListenerError } from "../listeners/listener.ts";

/** The number of processes that a configuration asks for. `auto`: one a core. */
export function workerCount({ workers }: Pick<Configuration, "workers">): number {
  return workers === "auto" ? process.getBuiltinModule("node:os").availableParallelism() : workers;
}

export const SHARED_WITH_WORKERS =
  "Workers share their ports among themselves, and with no other edge: leave `shared` out, or set workers: 1.";

/**
 * Workers share a port by a flag that would as well let a second edge of the same user in unnoticed. So each is first
 * taken for oneself, once.
 *
 * @throws {ListenerError}
 */
export async function checkPortsFree({ listeners, metrics }: Configuration): Promise<void> {
  const isShared = listeners.some((listener) => !("unix" in listener) && "shared" in listener && listener.shared);
  if (isShared || metrics?.shared === true) throw new ListenerError(SHARED_WITH_WORKERS);
  const addresses = listeners.flatMap((listener) =>
    "http" in listener ? [listener.http] : "https" in listener ? [listener.https] : [],
  );
  if (metrics !== undefined) addresses.push(metrics.listen);
  for (const { host, port } of addresses) {
    if (port === 0) throw new ListenerError("Port 0 cannot be shared by workers: name a port, or set workers: 1.");
    await checkFree(host, port);
  }
}

async function checkFree(host: string, port: number): Promise<void> {
  requireListenPermission(host, port);
  const { createServer } = await import("node:net");
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => {
      const reason =
        error.code === "EADDRINUSE"
          ? `Port ${port} on ${host} is in use. Stop what listens there, or choose another port.`
          : `Cannot listen on ${host}:${port}: ${messageOf(error)}.`;
      reject(new ListenerError(reason));
    });
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve()));
  });
}
