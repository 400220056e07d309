/**
 * The composition root: every binding of the edge, here and nowhere else. The four modules of ADR-602 (key source, cipher,
 * cache, revocation transport) and what stands around them are ports; this file says which adapter answers for each.
 */
import "reflect-metadata";
import type { TSchema } from "@sinclair/typebox";
import { type DependencyContainer, type InjectionToken, instanceCachingFactory, container as root } from "tsyringe";
import { messageOf } from "../base/errors.ts";
import { createLog, type Log } from "../base/log.ts";
import type { Clock } from "../base/time/clock.ts";
import { systemClock } from "../base/time/system-clock.ts";
import { Policy } from "./access/policy.ts";
import { createLeaseLog } from "./cache/lease-log.ts";
import { createTtlLeaseCache, type TtlLeaseCache } from "./cache/ttl-lease-cache.ts";
import type { Cipher } from "./cipher/cipher.ts";
import { createFreedKeyOverwriter } from "./cipher/freed-keys.ts";
import { createNodeAdapter } from "./cipher/node-adapter.ts";
import { createCipher } from "./cipher/sessions.ts";
import type { LoadedConfiguration } from "./config/load-with-plugins.ts";
import { policyRules } from "./config/policy-rules.ts";
import type { CoreParts } from "./core-parts.ts";
import type { KeyMemory } from "./key-memory/key-memory.ts";
import { openKeyMemory } from "./key-memory/open-key-memory.ts";
import { createChain, isChain } from "./key-source/chain.ts";
import type { KeySource } from "./key-source/key-source.ts";
import type { Operations } from "./operations/operations.ts";
import { createOperations } from "./operations/pipeline.ts";
import { HookRunner, type RegisteredHooks } from "./plugin-host/hook-runner.ts";
import { withLeaseHooks, withRevocationHooks } from "./plugin-host/hooked-leases.ts";
import { createOperationHooks } from "./plugin-host/hooked-operations.ts";
import type { Contributed } from "./plugin-host/loader.ts";
import { chainMetrics, hookMetrics } from "./plugin-host/metrics.ts";
import { type Contribution, type PluginContext, SectionError } from "./plugin-host/plugin.ts";
import { PluginError } from "./plugin-host/plugin-error.ts";
import { createRevocationGuard } from "./revocation/guard.ts";
import type { RevocationGuard } from "./revocation/revocation-guard.ts";
import type { RevocationTransport } from "./revocation/revocation-transport.ts";
import { createRecorder, type UsageRecorder } from "./telemetry/operation-recorder.ts";
import { createTelemetry, type Telemetry } from "./telemetry/telemetry.ts";
import type { AuditSink } from "./usage/audit-sink.ts";
import { auditLease, auditRevocation } from "./usage/audited-leases.ts";
import { openUsage } from "./usage/open-usage.ts";
import type { Usage } from "./usage/usage.ts";

/** The names that bindings go by. */
export const TOKENS = {
  log: token<Log>("Log"),
  clock: token<Clock>("Clock"),
  /** Undefined where the Core is neither a key source nor a transport. */
  core: token<CoreParts | undefined>("Core"),
  keySource: token<KeySource>("KeySource"),
  cipher: token<Cipher>("Cipher"),
  keyMemory: token<KeyMemory>("KeyMemory"),
  leaseCache: token<TtlLeaseCache>("LeaseCache"),
  revocationGuard: token<RevocationGuard>("RevocationGuard"),
  revocationTransports: token<readonly RevocationTransport[]>("RevocationTransports"),
  accessPolicy: token<Policy>("AccessPolicy"),
  usage: token<Usage>("Usage"),
  usageRecorder: token<UsageRecorder>("UsageRecorder"),
  telemetry: token<Telemetry>("Telemetry"),
  operations: token<Operations>("Operations"),
  hooks: token<HookRunner>("Hooks"),
  /** What the edge lends the plugin of a name. */
  lend: token<(plugin: string) => PluginContext>("Lend"),
  /** In the child container of one plugin: what the edge lends it. */
  pluginContext: token<PluginContext>("PluginContext"),
} as const;

/** Parts of the edge that tests put in the place of the real ones. */
export interface Overrides {
  readonly clock?: Clock;
  readonly keySource?: KeySource;
  readonly usageRecorder?: UsageRecorder;
}

/**
 * Binds everything that the configuration asks for. What has to be waited for (key memory, the plugins' contributions) is made
 * here; the rest at the first `resolve`. `workerIndex`: of several processes that serve together, which one this is, from 1.
 *
 * @throws {ConfigurationError} for a plugin's section that can never work
 */
export async function createContainer(
  loaded: LoadedConfiguration,
  signal: AbortSignal,
  overrides: Overrides = {},
  workerIndex = 1,
): Promise<DependencyContainer> {
  const { configuration } = loaded;
  const container = root.createChildContainer();
  const once = <T>(name: InjectionToken<T>, make: () => T): void => {
    container.register(name, { useFactory: instanceCachingFactory(make) });
  };
  const get = <T>(name: InjectionToken<T>): T => container.resolve(name);

  const log = createLog(configuration.log.level);
  const clock = overrides.clock ?? systemClock;
  container.registerInstance(TOKENS.log, log);
  container.registerInstance(TOKENS.clock, clock);
  const telemetry = createTelemetry(clock);
  container.registerInstance(TOKENS.telemetry, telemetry);

  const keyMemory = await openKeyMemory({
    choice: configuration.key_memory.kind,
    expectedKeys: configuration.cache.max_leases * 2,
    warn: (message) => log.warn(message),
  });
  container.registerInstance(TOKENS.keyMemory, keyMemory);
  const lend = (plugin: string): PluginContext => ({
    log: log.child({ plugin }),
    clock,
    metrics: telemetry.metrics.forPlugin(plugin),
    // Workers share an edge's name, but not the queue that a broker keeps by it: each must get every event.
    edgeId: workerIndex === 1 ? configuration.edge.id : `${configuration.edge.id}.worker-${workerIndex}`,
    directory: loaded.directory,
    signal,
  });
  container.registerInstance(TOKENS.lend, lend);
  const plugins = new PluginScopes(container, loaded, lend);
  const hooks = await createHooks(loaded, plugins, clock, log);
  container.registerInstance(TOKENS.hooks, hooks);
  telemetry.metrics.add(...hookMetrics(hooks));
  const core = overrides.keySource === undefined ? await createCore(loaded, clock, log) : undefined;
  once(TOKENS.core, () => core);
  const keySource = overrides.keySource ?? (await createKeySource(loaded, core, plugins, clock, log));
  if (isChain(keySource)) telemetry.metrics.add(...chainMetrics(keySource));
  container.registerInstance(TOKENS.keySource, keySource);
  once(TOKENS.cipher, () => createCipher({ adapter: createNodeAdapter(), onWiped: createFreedKeyOverwriter(clock) }));

  const usage = await createUsage(loaded, core, clock, log, plugins);
  container.registerInstance(TOKENS.usage, usage);

  once(TOKENS.revocationGuard, () =>
    createRevocationGuard({
      clock,
      log,
      maxSilenceMs: configuration.revocation.max_silence,
      onSilence: configuration.revocation.on_silence,
      core: core?.events,
      verifier: core?.verifier,
      onApplied: (event, transport) => auditRevocation(usage, event, transport),
    }),
  );
  container.registerInstance(TOKENS.revocationTransports, await createTransports(loaded, core, plugins));

  once(TOKENS.leaseCache, () => {
    const guard = get(TOKENS.revocationGuard);
    const logLease = createLeaseLog(log);
    const cache = createTtlLeaseCache({
      source: withLeaseHooks(get(TOKENS.keySource), hooks),
      cipher: get(TOKENS.cipher),
      keyMemory,
      clock,
      gate: guard,
      ttlMs: configuration.cache.ttl,
      refreshAfterMs: configuration.cache.refresh_after,
      maxLeases: configuration.cache.max_leases,
      onEvent(event) {
        logLease(event);
        auditLease(usage, event);
      },
    });
    guard.attach(withRevocationHooks(cache, hooks));
    return cache;
  });

  once(TOKENS.accessPolicy, () => new Policy(policyRules(configuration.policies), clock));
  once(TOKENS.usageRecorder, () => overrides.usageRecorder ?? usage);
  once(TOKENS.operations, () =>
    createOperations({
      access: get(TOKENS.accessPolicy),
      leases: get(TOKENS.leaseCache),
      recorder: createRecorder(get(TOKENS.usageRecorder), telemetry.latency),
      hooks: createOperationHooks(hooks),
    }),
  );
  telemetry.observe({
    leases: get(TOKENS.leaseCache),
    revocation: () => get(TOKENS.revocationGuard).status(),
    usage: () => usage.status(),
    keyMemory: () => keyMemory.stats,
    log,
  });
  return container;
}

/** The Core, where it is a key source or a transport: its code is loaded then alone. */
async function createCore(loaded: LoadedConfiguration, clock: Clock, log: Log): Promise<CoreParts | undefined> {
  const section = loaded.configuration.key_source.core;
  if (section === undefined) return undefined;
  const { createCoreParts } = await import("./core-parts.ts");
  return createCoreParts(loaded, section, clock, log);
}

/** How long all sources of a chain together may take: a little less than the lease cache waits for one answer. */
const CHAIN_TIMEOUT_MS = 4_500;

/** The source that `key_source.use` names; a chain where it names several. */
async function createKeySource(
  loaded: LoadedConfiguration,
  core: CoreParts | undefined,
  plugins: PluginScopes,
  clock: Clock,
  log: Log,
): Promise<KeySource> {
  const sections: Record<string, unknown> = loaded.configuration.key_source;
  const { use } = loaded.configuration.key_source;
  const names = [...new Set(typeof use === "string" ? [use] : use)];
  const sources: KeySource[] = [];
  for (const name of names) {
    const contributed = loaded.plugins.keySources.get(name);
    if (name === "core" && core !== undefined) sources.push(core.source);
    else if (contributed !== undefined) {
      sources.push(await plugins.make(contributed, sections[name], ["key_source", name]));
    } else throw loaded.errorAt(["key_source", "use"], `there is no key source "${name}"`);
  }
  if (sources.length === 1) return sources[0]!;
  return createChain({
    sources,
    clock,
    attemptTimeoutMs: CHAIN_TIMEOUT_MS / sources.length,
    onCircuit: (source, state, reason) => log.warn({ source, state, reason }, "a key source of the chain"),
  });
}

/** The hooks that the configuration names, in its order. */
async function createHooks(
  { configuration, plugins }: LoadedConfiguration,
  scopes: PluginScopes,
  clock: Clock,
  log: Log,
): Promise<HookRunner> {
  const registered: RegisteredHooks[] = [];
  const entries: readonly ((typeof configuration.hooks)[number] & Record<string, unknown>)[] = configuration.hooks;
  for (const [index, entry] of entries.entries()) {
    const { use: name, on_failure: onFailure, timeout: timeoutMs } = entry;
    const hooks = await scopes.make(plugins.hooks.get(name)!, entry[name], ["hooks", index, name]);
    registered.push({ name, hooks, onFailure, timeoutMs });
  }
  return new HookRunner(registered, clock, log);
}

/** The configured transports; the Core's own stream where none is configured and there is a Core. */
async function createTransports(
  loaded: LoadedConfiguration,
  core: CoreParts | undefined,
  plugins: PluginScopes,
): Promise<RevocationTransport[]> {
  const { transports } = loaded.configuration.revocation;
  const chosen = transports.length === 0 && core !== undefined ? [{ use: "core" }] : transports;
  return Promise.all(
    chosen.map((transport: { use: string } & Record<string, unknown>, index) => {
      if (transport.use === "core" && core !== undefined) return core.stream();
      const section = ["revocation", "transports", index, transport.use];
      const contributed = loaded.plugins.revocationTransports.get(transport.use);
      if (contributed === undefined) throw loaded.errorAt(section, `there is no transport "${transport.use}"`);
      return plugins.make(contributed, transport[transport.use], section);
    }),
  );
}

/** Counts and audit: to the Core, where there is one, and to where the configuration says. */
async function createUsage(
  loaded: LoadedConfiguration,
  core: CoreParts | undefined,
  clock: Clock,
  log: Log,
  plugins: PluginScopes,
): Promise<Usage> {
  const { configuration, errorAt } = loaded;
  const sinks: AuditSink[] = [];
  for (const [index, sink] of (configuration.audit.sinks as ({ use: string } & Record<string, unknown>)[]).entries()) {
    const contributed = loaded.plugins.auditSinks.get(sink.use)!;
    const made = await plugins.make(contributed, sink[sink.use], ["audit", "sinks", index, sink.use]);
    await made.start?.();
    sinks.push(made);
  }
  try {
    return await openUsage({ configuration, clock, send: core?.send, sinks, warn: (message) => log.warn(message) });
  } catch (error) {
    throw errorAt(["audit", "file"], `the audit file can't be opened: ${messageOf(error)}`);
  }
}

/** A child container for each plugin: its contributions are bound there, and all that it can reach is what it is lent. */
class PluginScopes {
  readonly #container: DependencyContainer;
  readonly #loaded: LoadedConfiguration;
  readonly #lend: (plugin: string) => PluginContext;
  readonly #scopes = new Map<string, DependencyContainer>();

  constructor(container: DependencyContainer, loaded: LoadedConfiguration, lend: (plugin: string) => PluginContext) {
    this.#container = container;
    this.#loaded = loaded;
    this.#lend = lend;
  }

  /** Makes a contribution from its section. A mistake that only the plugin can see is told with its place in the file. */
  async make<Made>(
    { from, contribution }: Contributed<Contribution<TSchema, Made>>,
    configuration: unknown,
    section: readonly (string | number)[],
  ): Promise<Made> {
    const bound = token<Made | Promise<Made>>(section.join("."));
    const scope = this.#scope(from.plugin.name);
    scope.register(bound, {
      useFactory: instanceCachingFactory((inner) =>
        contribution.create(configuration as never, inner.resolve(TOKENS.pluginContext)),
      ),
    });
    try {
      return await scope.resolve(bound);
    } catch (error) {
      if (error instanceof SectionError) throw this.#loaded.errorAt([...section, ...error.path], error.message);
      throw new PluginError("not_started", from.path, `${section.join(".")} can't be made: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  #scope(plugin: string): DependencyContainer {
    let scope = this.#scopes.get(plugin);
    if (scope === undefined) {
      scope = this.#container.createChildContainer();
      scope.registerInstance(TOKENS.pluginContext, this.#lend(plugin));
      this.#scopes.set(plugin, scope);
    }
    return scope;
  }
}

function token<T>(name: string): InjectionToken<T> {
  return Symbol(name);
}
