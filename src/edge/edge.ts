/** The edge as a whole: started from a configuration, stopped in order. */

import type { Log } from "../base/log.ts";
import type { Binding } from "../base/module.ts";
import type { MetricsFormat } from "../base/network/metrics-format.ts";
import { watchDescriptors } from "../base/system/descriptors.ts";
import { runForStart } from "../base/system/start-code.ts";
import { systemClock } from "../base/time/system-clock.ts";
import { VERSION } from "../base/version.ts";
import type { LeaseStatus } from "./cache/lease-cache.ts";
import type { LoadedConfiguration } from "./config/load-with-plugins.ts";
import { createContainer, TOKENS } from "./container.ts";
import type { DoorContext } from "./doors/door.ts";
import { createNativeDoors } from "./doors/native/door.ts";
import { createWatchDoor } from "./doors/native/watch.ts";
import { createEdgeStatus } from "./edge-status.ts";
import { DoorRoutes } from "./listeners/door-routes.ts";
import type { Listener } from "./listeners/listener.ts";
import { listenOnPort } from "./listeners/plain-http.ts";
import { logFailure } from "./log-failure.ts";
import { listenerLimits, openListener } from "./open-listener.ts";
import type { Renewal } from "./renewal.ts";
import type { Readiness } from "./status.ts";
import { readinessMetric } from "./telemetry/readiness-metric.ts";
import type { Question } from "./workers/messages.ts";
import type { Worker } from "./workers/worker.ts";

/** How long the last batches may take at the stop. */
const USAGE_CLOSE_MS = 5_000;

export interface Edge {
  /** Where it listens, as shown to a person. */
  readonly addresses: readonly string[];
  readonly log: Log;
  readiness(): Readiness;
  /** Every lease held; a copy. */
  leases(): LeaseStatus[];
  /** What this process alone tells its siblings: the text of its metrics, or its status as JSON. */
  answer(question: Question): Promise<string>;
  /**
   * Takes the policies of a configuration read anew, and reads certificates, revocation lists and token keys again. What else
   * has changed counts from the next start. Never rejects: what is no good is logged, and the old stays in use.
   */
  reload(renewed: Renewal): Promise<void>;
  /** What the digests of a renewal are made with. */
  readonly digestKey: string;
  /** Stops accepting, finishes what is in flight (bounded), wipes every key. May be called twice. */
  close(): Promise<void>;
}

/** Starts an edge; resolves once it listens. `worker`: it is one of several processes that serve together. */
export async function startEdge(
  loaded: LoadedConfiguration,
  bindings: readonly Binding[] = [],
  worker?: Worker,
): Promise<Edge> {
  const { configuration } = loaded;
  const stopping = new AbortController();
  let closed: Promise<void> | undefined;
  const container = await createContainer(loaded, stopping.signal, bindings, worker);
  const log = container.resolve(TOKENS.log);
  const keyMemory = container.resolve(TOKENS.keyMemory);
  const keySource = container.resolve(TOKENS.keySource);
  const leases = container.resolve(TOKENS.leaseCache);
  const guard = container.resolve(TOKENS.revocationGuard);
  const transports = container.resolve(TOKENS.revocationTransports);
  const usage = container.resolve(TOKENS.usage);
  const telemetry = container.resolve(TOKENS.telemetry);
  const operations = container.resolve(TOKENS.operations);
  const hooks = container.resolve(TOKENS.hooks);
  const { hardenProcess } = await runForStart(() => import("../base/system/harden-process.ts"));
  const hardening = await hardenProcess({ dumpable: configuration.key_memory.dumpable });
  for (const warning of hardening.warnings) log.warn(warning);
  const { askForShortSlices } = await runForStart(() => import("../base/system/short-slices.ts"));
  await askForShortSlices();

  const digestKey = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex");
  const { renewalOf } = await runForStart(() => import("./renewal.ts"));
  const started = await renewalOf(configuration, digestKey);
  const certificates = container.resolve(TOKENS.certificates);
  const expiry = usesCertificates(configuration) ? await certificates.expiry() : undefined;
  const { readiness, status } = createEdgeStatus(container, {
    configuration,
    hardening,
    isStopping: () => closed !== undefined,
  });
  telemetry.metrics.add(readinessMetric(() => readiness().ready));
  /** What a scrape or a look is answered, whichever worker it meets. */
  const metricsOfAll = async (format: MetricsFormat): Promise<string> => {
    if (worker === undefined) return telemetry.metrics.text(format);
    const { mergeMetrics } = await import("./workers/merge-metrics.ts");
    return mergeMetrics(await worker.askAll(format), format);
  };
  const statusOfAll = async (): Promise<unknown> =>
    worker === undefined ? status() : statusOfWorkers(await worker.askAll("status"));
  const native = createNativeDoors({
    operations,
    readiness,
    status: statusOfAll,
    metrics: metricsOfAll,
    revocations: container.resolve(TOKENS.revocationFeed),
    bodyBytesMax: configuration.limits.max_body,
    onFailure: (error, trace) => logFailure(log, error, trace),
  });

  const lend = container.resolve(TOKENS.lend);
  const doorContext = (door: string): DoorContext => ({
    operations,
    log: log.child({ door }),
    now: { wallMs: () => systemClock.wallMs(), monotonicMs: () => systemClock.monotonicMs() },
    version: VERSION,
    readiness: () => {
      const { ready, reasons } = readiness();
      return ready ? { ready } : { ready, reason: reasons.join(" ") };
    },
  });

  const otlp = container.resolve(TOKENS.otlp);
  for (const transport of transports) {
    const sink = guard.sink(transport.name);
    await transport.start(otlp?.tracing?.watched(sink, transport.name) ?? sink);
  }
  guard.start();

  const endDescriptorWatch = watchDescriptors(systemClock, log);
  const followingCore = expiry && container.resolve(TOKENS.core)?.followCertificates(expiry);
  const { secrets = [] } = loaded;
  const followingSecrets =
    secrets.length === 0
      ? undefined
      : (await import("../base/config/file-secret.ts")).followSecrets(secrets, { clock: systemClock, log });
  const listeners: Listener[] = [];
  const edge: Edge = {
    get addresses() {
      return listeners.map((listener) => listener.address);
    },
    log,
    readiness,
    leases: () => leases.leases(),
    answer: (question) =>
      Promise.resolve(
        question === "status" ? JSON.stringify({ pid: process.pid, ...status() }) : telemetry.metrics.text(question),
      ),
    digestKey,
    async reload(renewed) {
      const { reloadEdge } = await import("./reload-edge.ts");
      await reloadEdge(renewed, {
        log,
        usage,
        policy: container.resolve(TOKENS.accessPolicy),
        started,
        parts: [
          ...listeners.map((listener) => ({ address: listener.address, reload: () => listener.reload?.() })),
          { address: "the Core", reload: () => followingCore?.reload() },
          { address: "secrets", reload: () => followingSecrets?.reload() },
        ],
      });
    },
    close() {
      closed ??= stop();
      return closed;
    },
  };
  async function stop(): Promise<void> {
    // While callers go over to another edge they are served in full, leases included.
    await Promise.all(listeners.map((listener) => listener.drain?.(configuration.stop_timeout)));
    stopping.abort();
    await Promise.all(listeners.map((listener) => listener.close(configuration.stop_timeout)));
    for (const transport of transports) await transport.close();
    guard.close();
    endDescriptorWatch();
    leases.close();
    followingCore?.close();
    followingSecrets?.close();
    certificates.close();
    await Promise.all([usage.close(USAGE_CLOSE_MS), otlp?.close(Math.min(USAGE_CLOSE_MS, configuration.stop_timeout))]);
    telemetry.close();
    await keySource.close();
    await hooks?.close();
    container.resolve(TOKENS.cipher).close();
    keyMemory.close();
    log.info("stopped");
  }

  try {
    await keySource.start?.();
    await hooks?.start();
    const { limits } = configuration;
    const sharesPort = worker !== undefined;
    const { makeDoors } = await runForStart(() => import("./make-doors.ts"));
    for (const [index, listener] of configuration.listeners.entries()) {
      // A path can't be listened on twice: the first worker serves it.
      if ("unix" in listener && worker !== undefined && worker.index !== 1) continue;
      const doors = await makeDoors(loaded, index, { native, context: doorContext, lend });
      listeners.push(await openListener(listener, { limits, doors, clock: systemClock, log, expiry, sharesPort }));
    }
    const { metrics } = configuration;
    if (metrics !== undefined) {
      const doors = new DoorRoutes([createWatchDoor({ readiness, metrics: metricsOfAll })]);
      const { listen, shared } = metrics;
      const plain = { principal: undefined, doors, limits: listenerLimits(limits, sharesPort), log, shared };
      listeners.push(await listenOnPort(listen.host, listen.port, plain));
    }
  } catch (error) {
    await edge.close();
    throw error;
  }
  void leases.prewarm(configuration.cache.prewarm).then((refused) => {
    for (const { tenant, service, error } of refused)
      log.error({ tenant, service }, `prewarm refused: ${error.message}`);
  });
  log.info({ addresses: edge.addresses, edge: configuration.edge.id, version: VERSION }, "ready");
  return edge;
}

function usesCertificates({ key_source, listeners }: LoadedConfiguration["configuration"]): boolean {
  return key_source.core !== undefined || listeners.some((listener) => "https" in listener || "tls" in listener);
}

/** The first worker's own, ready when all are, and every worker's beside it. */
function statusOfWorkers(answers: ReadonlyMap<number, string>): unknown {
  const workers = [...answers].map(([worker, text]) => ({ worker, ...(JSON.parse(text) as { ready: boolean }) }));
  const { worker: _, ...first } = workers[0] ?? { worker: 0, ready: false };
  return { ...first, ready: workers.length > 0 && workers.every(({ ready }) => ready), workers };
}
