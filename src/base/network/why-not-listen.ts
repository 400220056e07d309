import { createServer } from "node:net";
import { mayListen } from "./listen-permission.ts";

/**
 * Why no process can listen on an address of this machine: it has none such. By a free port, since the edge may be running. Not
 * tried where Deno does not permit it.
 */
export function whyNotListen(host: string): Promise<string | undefined> {
  if (!mayListen(host, 0)) return Promise.resolve(undefined);
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) =>
      resolve(`this machine can't listen on ${host} (${error.code}): give one of its own addresses`),
    );
    server.listen(0, host, () => server.close(() => resolve(undefined)));
  });
}
