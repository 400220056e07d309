/** What `crypto-edge serve` does: starts the edge, or the workers that are one, and stops it by a signal. */
import { dropStartCode, runForStart } from "../base/system/start-code.ts";

export interface ServeOptions {
  /** The configuration's file. */
  readonly config: string;
  /** Set by the supervisor of `workers:`: which of them this process is. */
  readonly worker?: number | undefined;
}

/** Resolves once the edge has stopped. */
export async function runServe({ config, worker }: ServeOptions): Promise<void> {
  const { environmentNotes, runsHere } = await runForStart(async () => {
    const { notesOnEnvironment, refuseHostileEnvironment } = await import("./hostile-environment.ts");
    refuseHostileEnvironment();
    const { mentionsWorkers } = await import("./mentions-workers.ts");
    return { environmentNotes: notesOnEnvironment(), runsHere: worker === undefined && !mentionsWorkers(config) };
  });
  if (worker !== undefined) return (await import("./run-workers.ts")).serveAsWorker(config, worker);
  // What reads the configuration is dropped, but for what the edge needs too: so the edge comes first, where it will run here.
  if (runsHere) await import("../edge/edge.ts");
  const { loadForStart } = await runForStart(() => import("./load-for-start.ts"));
  const loaded = await loadForStart(config);
  const { workerCount } = await runForStart(() => import("../edge/workers/shared-ports.ts"));
  const count = workerCount(loaded.configuration);
  if (count > 1) return (await import("./run-workers.ts")).superviseEdge(config, loaded.configuration, count);
  const { startEdge } = await import("../edge/edge.ts");
  const { onReloadSignal } = await import("../base/system/reload-signal.ts");
  const { stopSignal } = await import("../base/system/stop-signal.ts");
  // Signals are heard before anybody can know that this process runs.
  const stop = stopSignal();
  const starting = startEdge(loaded).then(async (edge) => {
    stop.serving();
    const { serviceManager } = await runForStart(() => import("./serving-process.ts"));
    return { edge, manager: await serviceManager(edge.log) };
  });
  const endReloads = onReloadSignal(async () => {
    const running = await starting.catch(() => undefined);
    if (running === undefined) return;
    running.manager?.reloading();
    const { reload } = await import("./serving-process.ts");
    await reload(running.edge, config);
    running.manager?.ready();
  });
  const { edge, manager } = await starting;
  for (const note of environmentNotes) edge.log.info(note);
  for (const note of loaded.notes ?? []) edge.log.info(note);
  dropStartCode();
  manager?.ready();
  await stop.asked;
  endReloads();
  manager?.stopping();
  await edge.close();
  manager?.close();
}
