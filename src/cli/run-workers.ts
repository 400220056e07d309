/** What `crypto-edge serve` does where `workers:` asks for several processes: the one that starts them, and each of them. */
import { join, parse } from "node:path";
import { createLog } from "../base/log.ts";
import { onReloadSignal } from "../base/system/reload-signal.ts";
import { dropStartCode } from "../base/system/start-code.ts";
import { stopSignal } from "../base/system/stop-signal.ts";
import { systemClock } from "../base/time/system-clock.ts";
import type { Configuration } from "../edge/config/schema.ts";
import { notesOnEnvironment } from "./hostile-environment.ts";
import { loadForStart } from "./load-for-start.ts";
import { reload, serviceManager } from "./serving-process.ts";
import { thisProgram } from "./this-program.ts";

/** The process that starts the workers, replaces one that dies, and answers no request itself. */
export async function superviseEdge(config: string, configuration: Configuration, count: number): Promise<void> {
  const { checkPortsFree } = await import("../edge/workers/shared-ports.ts");
  const { superviseWorkers } = await import("../edge/workers/supervisor.ts");
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

/** One of the workers. Resolves once it has stopped. */
export async function serveAsWorker(config: string, index: number): Promise<void> {
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
