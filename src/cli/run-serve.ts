/** What `crypto-edge serve` does: starts the edge, or the workers that are one, and stops it by a signal. */
import { readFileSync, statSync } from "node:fs";
import { join, parse } from "node:path";
import { messageOf } from "../base/errors.ts";
import type { LogPort } from "../base/log-port.ts";
import type { ServiceManager } from "../base/system/service-manager.ts";
import { dropStartCode } from "../base/system/start-code.ts";
import type { Configuration } from "../edge/config/schema.ts";
import { notesOnEnvironment, refuseHostileEnvironment } from "./hostile-environment.ts";
import { loadForStart } from "./load-for-start.ts";
import { thisProgram } from "./this-program.ts";

export interface ServeOptions {
  /** The configuration's file. */
  readonly config: string;
  /** Set by the supervisor of `workers:`: which of them this process is. */
  readonly worker?: number | undefined;
}

/** Resolves once the edge has stopped. */
export async function runServe({ config, worker }: ServeOptions): Promise<void> {
  refuseHostileEnvironment();
  if (worker !== undefined) return serveAsWorker(config, worker);
  // What reads the configuration is dropped, but for what the edge needs too: so the edge comes first, where it will run here.
  if (!mentionsWorkers(config)) await import("../edge/edge.ts");
  const loaded = await loadForStart(config);
  const { workerCount } = await import("../edge/workers/shared-ports.ts");
  const count = workerCount(loaded.configuration);
  if (count > 1) return superviseEdge(config, loaded.configuration, count);
  const { startEdge } = await import("../edge/edge.ts");
  const { onReloadSignal } = await import("../base/system/reload-signal.ts");
  const { stopSignal } = await import("../base/system/stop-signal.ts");
  // Signals are heard before anybody can know that this process runs.
  const stop = stopSignal();
  const starting = startEdge(loaded).then(async (edge) => {
    stop.serving();
    return { edge, manager: await serviceManager(edge.log) };
  });
  const endReloads = onReloadSignal(async () => {
    const running = await starting.catch(() => undefined);
    if (running === undefined) return;
    running.manager?.reloading();
    await reload(running.edge, config);
    running.manager?.ready();
  });
  const { edge, manager } = await starting;
  for (const note of notesOnEnvironment()) edge.log.info(note);
  for (const note of loaded.notes ?? []) edge.log.info(note);
  dropStartCode();
  manager?.ready();
  await stop.asked;
  endReloads();
  manager?.stopping();
  await edge.close();
  manager?.close();
}

/** Undefined where systemd does not ask. */
async function serviceManager(log: LogPort): Promise<ServiceManager | undefined> {
  if ((process.env.NOTIFY_SOCKET ?? "") === "") return undefined;
  const { openServiceManager } = await import("../base/system/service-manager.ts");
  const { systemClock } = await import("../base/time/system-clock.ts");
  return openServiceManager(systemClock, (message) => log.warn(message));
}

/** Whether the configuration might ask for workers, whose supervisor runs no edge itself. */
function mentionsWorkers(config: string): boolean {
  if (process.env.CRYPTO_EDGE_WORKERS !== undefined) return true;
  try {
    return !statSync(config).isFile() || readFileSync(config, "utf8").includes("workers");
  } catch {
    // The reader of the configuration says what is wrong.
    return true;
  }
}

async function reload(edge: import("../edge/edge.ts").Edge, config: string): Promise<void> {
  const { readRenewal } = await import("./read-renewal.ts");
  try {
    await edge.reload(await readRenewal(config, edge.digestKey));
  } catch (error) {
    edge.log.error({ reason: messageOf(error) }, "the configuration was not reloaded; the old one stays in use");
  }
}

/** The process that starts the workers, replaces one that dies, and answers no request itself. */
async function superviseEdge(config: string, configuration: Configuration, count: number): Promise<void> {
  const { systemClock } = await import("../base/time/system-clock.ts");
  const { createLog } = await import("../base/log.ts");
  const { checkPortsFree } = await import("../edge/workers/shared-ports.ts");
  const { superviseWorkers } = await import("../edge/workers/supervisor.ts");
  const { onReloadSignal } = await import("../base/system/reload-signal.ts");
  const { stopSignal } = await import("../base/system/stop-signal.ts");
  const log = createLog(configuration.log.level);
  for (const note of notesOnEnvironment()) log.info(note);
  await checkPortsFree(configuration);
  const stop = stopSignal();
  const program = thisProgram();
  const starting = superviseWorkers({
    count,
    clock: systemClock,
    log,
    command: (index) => [...program, "serve", "--config", config, "--worker", String(index)],
  });
  const endReloads = onReloadSignal(async () => (await starting.catch(() => undefined))?.reload());
  const supervisor = await starting;
  stop.serving();
  log.info({ addresses: supervisor.addresses, workers: count }, "ready");
  const manager = await serviceManager(log);
  manager?.ready();
  await stop.asked;
  endReloads();
  manager?.stopping();
  await supervisor.close();
  manager?.close();
}

async function serveAsWorker(config: string, index: number): Promise<void> {
  const { openWorkerChannel } = await import("../edge/workers/worker.ts");
  const { startEdge } = await import("../edge/edge.ts");
  const channel = openWorkerChannel(index);
  // The terminal sends Ctrl-C to every process; the supervisor decides.
  for (const signal of ["SIGINT", "SIGQUIT", "SIGHUP", "SIGTERM"] as const) process.on(signal, () => undefined);
  const loaded = await loadForStart(config);
  const edge = await startEdge({ ...loaded, configuration: ofWorker(loaded.configuration, index) }, [], channel);
  const stopped = new Promise<void>((resolve) => channel.onStop(resolve));
  channel.onReload(() => void reload(edge, config));
  dropStartCode();
  channel.ready(edge.addresses, edge.answer);
  await stopped;
  await edge.close();
  // The channel would keep the process.
  process.disconnect?.();
}

/** An audit file is one chain of one writer: every worker but the first writes its own, `audit.worker-2.jsonl`. */
function ofWorker(configuration: Configuration, index: number): Configuration {
  const { audit } = configuration;
  if (audit.file === undefined || index === 1) return configuration;
  const { dir, name, ext } = parse(audit.file.path);
  return {
    ...configuration,
    audit: { ...audit, file: { ...audit.file, path: join(dir, `${name}.worker-${index}${ext}`) } },
  };
}
