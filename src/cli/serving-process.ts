/** What a process that serves has to do with its service manager and its configuration, alone or as one of the workers. */
import { messageOf } from "../base/errors.ts";
import type { LogPort } from "../base/log-port.ts";
import type { ServiceManager } from "../base/system/service-manager.ts";
import type { Edge } from "../edge/edge.ts";

/** Undefined where systemd does not ask. */
export async function serviceManager(log: LogPort): Promise<ServiceManager | undefined> {
  if ((process.env.NOTIFY_SOCKET ?? "") === "") return undefined;
  const { openServiceManager } = await import("../base/system/service-manager.ts");
  const { systemClock } = await import("../base/time/system-clock.ts");
  return openServiceManager(systemClock, (message) => log.warn(message));
}

/** Reads the configuration again. Never rejects: one that is no good is logged, and the old one stays in use. */
export async function reload(edge: Edge, config: string): Promise<void> {
  const { readRenewal } = await import("./read-renewal.ts");
  try {
    await edge.reload(await readRenewal(config, edge.digestKey));
  } catch (error) {
    edge.log.error({ reason: messageOf(error) }, "the configuration was not reloaded; the old one stays in use");
  }
}
