/** What plugins put in the place of the edge's own parts, as the configuration chooses: by kind, one module each. */
import { type AttemptTurns, attemptInTurn } from "../base/attempts.ts";
import type { Log } from "../base/log.ts";
import { LOG, type Module, type Resolve, STOPPING, token } from "../base/module.ts";
import { CLOCK } from "../base/time/clock.ts";
import { ACCESS_POLICY } from "./access/module.ts";
import type { LeaseControl } from "./cache/lease-cache.ts";
import { LEASE_CONTROL, LEASED_SOURCE } from "./cache/module.ts";
import { CERTIFICATES } from "./certificates.ts";
import { CONTRIBUTED_CIPHERS } from "./cipher/module.ts";
import type { CipherFactory } from "./cipher/open-cipher.ts";
import type { LoadedConfiguration } from "./config/load-with-plugins.ts";
import type { CoreParts } from "./core-parts.ts";
import type { KeySource } from "./key-source/key-source.ts";
import { CHOSEN_KEY_SOURCES, KEY_SOURCE } from "./key-source/module.ts";
import { OPERATION_HOOKS } from "./operations/module.ts";
import type { OperationHooks } from "./operations/operation-hooks.ts";
import type { HookRunner, RegisteredHooks } from "./plugin-host/hook-runner.ts";
import { makeContribution } from "./plugin-host/make-contribution.ts";
import type { PluginContext } from "./plugin-host/plugin.ts";
import { BEGINNING_OBSERVER, REVOCATION_GUARD, REVOCATION_TRANSPORTS } from "./revocation/module.ts";
import type { RevocationTransport } from "./revocation/revocation-transport.ts";
import { RevocationBroadcast } from "./revocation-feed.ts";
import { OTLP, TELEMETRY } from "./telemetry/module.ts";
import type { AuditSink } from "./usage/audit-sink.ts";
import { AUDIT_SINKS } from "./usage/module.ts";

/** The configuration, with the plugins that it names. */
export const LOADED = token<LoadedConfiguration>("Loaded");

/** Of several processes that serve together, which one this is: from 1. */
export const WORKER_INDEX = token<number>("WorkerIndex");

/** Whose turn an attempt is that the processes of this edge share. */
export const TURNS = token<AttemptTurns>("Turns");

/** Its log, with what only the process as a whole needs of it. */
export const PROCESS_LOG = token<Log>("ProcessLog");

/** Undefined where the Core is neither a key source nor a transport. */
export const CORE = token<CoreParts | undefined>("Core");

/** What the edge lends the plugin of a name. */
export const LEND = token<(plugin: string) => PluginContext>("Lend");

/** Undefined where no hook is configured: then their code is not loaded. */
export const HOOKS = token<HookRunner | undefined>("Hooks");

export const lendModule: Module<(plugin: string) => PluginContext> = {
  token: LEND,
  make(get) {
    const { configuration, directory } = get(LOADED);
    const signal = get(STOPPING);
    const workerIndex = get(WORKER_INDEX);
    const log = get(PROCESS_LOG);
    const turns = get(TURNS);
    const { id } = configuration.edge;
    const certificates = get(CERTIFICATES);
    return (plugin) => ({
      log: log.child({ plugin }),
      clock: get(CLOCK),
      metrics: get(TELEMETRY).metrics.forPlugin(plugin),
      // Workers share an edge's name, but not the queue that a broker keeps by it: each must get every event.
      edgeId: workerIndex === 1 ? id : `${id}.worker-${workerIndex}`,
      directory,
      signal,
      attempt: (name, run) => attemptInTurn(turns, `${plugin}/${name}`, run),
      async follow(credentials) {
        const { followCredentials } = await import("./plugin-host/follow-credentials.ts");
        const expiry = await certificates.expiry();
        await followCredentials(credentials, { expiry, clock: get(CLOCK), log: log.child({ plugin }), signal });
      },
    });
  },
};

/** The sources that `key_source.use` names, each once, in its order. */
export const chosenKeySourcesModule: Module<readonly KeySource[]> = {
  token: CHOSEN_KEY_SOURCES,
  async make(get) {
    const loaded = get(LOADED);
    const core = get(CORE);
    const sections: Record<string, unknown> = loaded.configuration.key_source;
    const { use } = loaded.configuration.key_source;
    const sources: KeySource[] = [];
    for (const name of new Set(typeof use === "string" ? [use] : use)) {
      const contributed = loaded.plugins.keySources.get(name);
      if (name === "core" && core !== undefined) sources.push(core.source);
      else if (contributed === undefined) {
        throw loaded.errorAt(["key_source", "use"], `there is no key source "${name}"`);
      } else sources.push(await makeContribution(contributed, sections[name], ["key_source", name], maker(get)));
    }
    return sources;
  },
};

/** The configured transports; the Core's own stream where none is configured and there is a Core. */
export const revocationTransportsModule: Module<readonly RevocationTransport[]> = {
  token: REVOCATION_TRANSPORTS,
  make(get) {
    const loaded = get(LOADED);
    const core = get(CORE);
    const { transports } = loaded.configuration.revocation;
    const chosen = transports.length === 0 && core !== undefined ? [{ use: "core" }] : transports;
    return Promise.all(
      chosen.map((transport: { use: string } & Record<string, unknown>, index) => {
        if (transport.use === "core" && core !== undefined) return core.stream();
        const path = ["revocation", "transports", index, transport.use];
        const contributed = loaded.plugins.revocationTransports.get(transport.use);
        if (contributed === undefined) throw loaded.errorAt(path, `there is no transport "${transport.use}"`);
        return makeContribution(contributed, transport[transport.use], path, maker(get));
      }),
    );
  },
};

/** Of plugins, by name: made when `cipher.use` asks for one. */
export const contributedCiphersModule: Module<Readonly<Record<string, CipherFactory>>> = {
  token: CONTRIBUTED_CIPHERS,
  make(get) {
    const { configuration, plugins } = get(LOADED);
    const sections: Readonly<Record<string, unknown>> = configuration.cipher;
    return Object.fromEntries(
      [...plugins.ciphers].map(([name, contributed]): [string, CipherFactory] => [
        name,
        () => makeContribution(contributed, sections[name], ["cipher", name], maker(get)),
      ]),
    );
  },
};

/** The configured sinks, started; and the collector of OpenTelemetry. */
export const auditSinksModule: Module<readonly AuditSink[]> = {
  token: AUDIT_SINKS,
  async make(get) {
    const { configuration, plugins } = get(LOADED);
    const sinks: AuditSink[] = [];
    const entries: readonly ({ use: string } & Record<string, unknown>)[] = configuration.audit.sinks;
    for (const [index, { use, ...sections }] of entries.entries()) {
      const path = ["audit", "sinks", index, use];
      const sink = await makeContribution(plugins.auditSinks.get(use)!, sections[use], path, maker(get));
      await sink.start?.();
      sinks.push(sink);
    }
    const otlp = get(OTLP)?.auditSink;
    return otlp === undefined ? sinks : [...sinks, otlp];
  },
};

/** The configured hooks, in their order, not started. */
export const hooksModule: Module<HookRunner | undefined> = {
  token: HOOKS,
  async make(get) {
    const { configuration, plugins } = get(LOADED);
    const registered: RegisteredHooks[] = [];
    const entries: readonly ((typeof configuration.hooks)[number] & Record<string, unknown>)[] = configuration.hooks;
    if (entries.length === 0) return undefined;
    const { HookRunner } = await import("./plugin-host/hook-runner.ts");
    for (const [index, entry] of entries.entries()) {
      const { use: name, on_failure: onFailure, timeout: timeoutMs } = entry;
      const path = ["hooks", index, name];
      const hooks = await makeContribution(plugins.hooks.get(name)!, entry[name], path, maker(get));
      registered.push({ name, hooks, onFailure, timeoutMs });
    }
    return new HookRunner(registered, get(CLOCK), get(LOG));
  },
};

export const hookedSourceModule: Module<KeySource> = {
  token: LEASED_SOURCE,
  async make(get) {
    const source = get(KEY_SOURCE);
    const traced = get(OTLP)?.tracing?.traced(source) ?? source;
    const hooks = get(HOOKS);
    if (hooks === undefined) return traced;
    const { withLeaseHooks } = await import("./plugin-host/hooked-leases.ts");
    return withLeaseHooks(traced, hooks);
  },
};

/** Who tells callers of revocations. */
export const REVOCATION_FEED = token<RevocationBroadcast>("RevocationFeed");

export const revocationFeedModule: Module<RevocationBroadcast> = {
  token: REVOCATION_FEED,
  make: (get) => new RevocationBroadcast(get(ACCESS_POLICY), () => get(REVOCATION_GUARD).blocked()),
};

export const beginningObserverModule: Module<() => void> = {
  token: BEGINNING_OBSERVER,
  make: (get) => () => get(REVOCATION_FEED).began(),
};

export const hookedControlModule: Module<(cache: LeaseControl) => LeaseControl> = {
  token: LEASE_CONTROL,
  async make(get) {
    const feed = get(REVOCATION_FEED);
    const hooks = get(HOOKS);
    if (hooks === undefined) return (cache) => feed.watched(cache);
    const { withRevocationHooks } = await import("./plugin-host/hooked-leases.ts");
    return (cache) => withRevocationHooks(feed.watched(cache), hooks);
  },
};

export const operationHooksModule: Module<OperationHooks | undefined> = {
  token: OPERATION_HOOKS,
  async make(get) {
    const hooks = get(HOOKS);
    if (hooks === undefined) return undefined;
    const { createOperationHooks } = await import("./plugin-host/hooked-operations.ts");
    return createOperationHooks(hooks);
  },
};

const maker = (get: Resolve) => ({ lend: get(LEND), errorAt: get(LOADED).errorAt });
