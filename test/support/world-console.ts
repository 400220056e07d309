import { NO_REVOCATION_LISTS } from "../../src/base/pki/revocation-list.ts";
import { systemClock } from "../../src/base/time/system-clock.ts";
import { startConsole } from "../../src/core/console/listener.ts";
import type { ConsoleListener, ConsoleOptions } from "../../src/core/console-port.ts";
import type { CoreWorld } from "./core-world.ts";

/** The console of a Core, in this process, on a free port: whoever has an administrator's certificate may do everything. */
export function startWorldConsole(world: CoreWorld, options: Partial<ConsoleOptions> = {}): Promise<ConsoleListener> {
  return startConsole({
    listen: { host: "127.0.0.1", port: 0 },
    viewers: [],
    secret: world.core.sharedSecret("console"),
    admin: world.core.admin,
    certificates: world.pki.core,
    revocationLists: NO_REVOCATION_LISTS,
    trustDomain: world.core.trustDomain,
    clock: systemClock,
    log: () => undefined,
    ...options,
  });
}
