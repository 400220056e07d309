/** The edge as a whole: started from a configuration, stopped in order. */
import type { Principal } from "./access/principal.ts";
import { systemClock } from "./clock/system-clock.ts";
import type { LoadedConfiguration } from "./config/load-with-plugins.ts";
import type { ListenerConfiguration } from "./config/schema.ts";
import { createContainer, type Overrides, TOKENS } from "./container.ts";
import { hardenProcess } from "./key-memory/harden-process.ts";
import { createApp, type Readiness } from "./server/app.ts";
import { listenOnPort, listenOnUnixSocket } from "./server/listeners/bun.ts";
import type { Handler, Listener } from "./server/listeners/listener.ts";
import { COMMIT, VERSION } from "./version.ts";

/** The longest body taken: a decrypt-batch of 10,000 with a small context each. */
const BODY_BYTES_MAX = 16 * 2 ** 20;

export interface Edge {
  /** Where it listens, as shown to a person. */
  readonly addresses: readonly string[];
  readiness(): Readiness;
  /** Stops accepting, finishes what is in flight (bounded), wipes every key. May be called twice. */
  close(): Promise<void>;
}

/** Starts an edge; resolves once it listens. */
export async function startEdge(loaded: LoadedConfiguration, overrides: Overrides = {}): Promise<Edge> {
  const { configuration } = loaded;
  const stopping = new AbortController();
  const container = await createContainer(loaded, stopping.signal, overrides);
  const log = container.resolve(TOKENS.log);
  const keyMemory = container.resolve(TOKENS.keyMemory);
  const keySource = container.resolve(TOKENS.keySource);
  const leases = container.resolve(TOKENS.leaseCache);
  const guard = container.resolve(TOKENS.revocationGuard);
  const transports = container.resolve(TOKENS.revocationTransports);
  const orchestrator = container.resolve(TOKENS.orchestrator);
  const hardening = await hardenProcess({ dumpable: configuration.key_memory.dumpable });
  for (const warning of hardening.warnings) log.warn(warning);

  const startedMs = systemClock.monotonicMs();
  let prewarmed = configuration.cache.prewarm.length === 0;
  const readiness = (): Readiness => {
    const serving = !stopping.signal.aborted;
    return {
      ready: serving && prewarmed && guard.isOpen(),
      serving,
      prewarmed,

      revocation: guard.status(),
      leases: leases.summary(),
    };
  };
  const status = () => ({
    edge: configuration.edge.id,
    version: VERSION,
    commit: COMMIT,
    uptimeMs: Math.round(systemClock.monotonicMs() - startedMs),
    ...readiness(),
    source: keySource.name,
    cipher: container.resolve(TOKENS.cipher).name,
    keyMemory: keyMemory.stats,
  });
  const handler = (principal: Principal): Handler => {
    const app = createApp({
      orchestrator,
      identify: () => principal,
      readiness,
      status,
      onDefect: (error) => log.error({ err: error }, "a request failed by a defect of the edge"),
    });
    return (request) => app.handle(request);
  };

  for (const transport of transports) await transport.start(guard.sink(transport.name));
  guard.start();

  const listeners: Listener[] = [];
  let closed: Promise<void> | undefined;
  const edge: Edge = {
    get addresses() {
      return listeners.map((listener) => listener.address);
    },
    readiness,
    close() {
      closed ??= stop();
      return closed;
    },
  };
  async function stop(): Promise<void> {
    stopping.abort();
    await Promise.all(listeners.map((listener) => listener.close(configuration.stop_timeout)));
    for (const transport of transports) await transport.close();
    guard.close();
    leases.close();
    await keySource.close();
    keyMemory.close();
    await container.dispose();
    log.info("stopped");
  }

  try {
    for (const listener of configuration.listeners) listeners.push(await listen(listener, handler));
  } catch (error) {
    await edge.close();
    throw error;
  }
  void leases.prewarm(configuration.cache.prewarm).then((refused) => {
    for (const { tenant, service, error } of refused)
      log.error({ tenant, service }, `prewarm refused: ${error.message}`);
    prewarmed = refused.length === 0;
  });
  log.info({ addresses: edge.addresses, edge: configuration.edge.id, version: VERSION }, "ready");
  return edge;
}

function listen(
  listener: ListenerConfiguration,
  handler: (principal: Principal) => Handler,
): Promise<Listener> | Listener {
  const handle = handler({ kind: "listener", name: listener.principal });
  const limits = { bodyBytesMax: BODY_BYTES_MAX };
  if ("http" in listener) return listenOnPort(listener.http.host, listener.http.port, handle, limits);
  return listenOnUnixSocket(listener.unix, Number.parseInt(listener.mode, 8), handle, limits);
}
