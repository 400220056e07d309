/** The Core's console as `crypto-edge dev` has it: over plain HTTP on loopback, for whoever is on this machine. A real one asks who they are. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { namesLoopback } from "../../base/network/loopback-host.ts";
import { systemClock } from "../../base/time/system-clock.ts";
import { wipe } from "../../base/wipe.ts";
import { sendProblem, sendResponse } from "../../core/answers.ts";
import { createConsoleApp } from "../../core/console/app.ts";
import { readRequest } from "../../core/console/read-request.ts";
import { type Visitor, VisitorRequest } from "../../core/console/visitor.ts";
import { CoreError } from "../../core/protocol/core-error.ts";
import type { RunningCore } from "../../core/running-core.ts";

const VISITOR: Visitor = { name: "you", subject: "dev", role: "administrator", by: "this machine" };
const MAX_CONNECTIONS = 64;

export interface DevConsole {
  readonly url: string;
  close(): Promise<void>;
}

export async function startDevConsole(core: RunningCore): Promise<DevConsole> {
  const secret = core.sharedSecret("console");
  const log = (): void => undefined;
  const app = createConsoleApp({ admin: core.admin, clock: systemClock, log, secret }, VISITOR.role);
  const server = createServer(async (request, response) => {
    try {
      // A page whose name was made to point here (DNS rebinding) would be its own origin.
      if (!namesLoopback(request.headers.host ?? "")) {
        throw new CoreError("not_allowed", "call this as 127.0.0.1 or localhost");
      }
      const asked = new VisitorRequest(await readRequest(request), VISITOR);
      await sendResponse(response, await app.handle(asked));
    } catch (error) {
      sendProblem(request, response, error, log);
    }
  });
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      wipe(secret);
    },
  };
}
