/**
 * The composition root: every port of the edge and what answers for it, here and nowhere else, by tsyringe. Everything is made at
 * the start; nothing is resolved on the path of a request. A test puts its own part in a module's place by binding its token.
 */
import { aloneTurns } from "../base/attempts.ts";
import { createLog } from "../base/log.ts";
import { type Binding, bind, LOG, type Module, type Resolve, STOPPING } from "../base/module.ts";
import { CLOCK } from "../base/time/clock.ts";
import { systemClock } from "../base/time/system-clock.ts";
import { ACCESS_POLICY, accessModule } from "./access/module.ts";
import { LEASE_CACHE, LEASE_GATE, leaseCacheModule } from "./cache/module.ts";
import { CERTIFICATES, certificatesModule } from "./certificates.ts";
import { CIPHER, cipherModule } from "./cipher/module.ts";
import { cipherMemoryModule } from "./cipher-memory.ts";
import type { LoadedConfiguration } from "./config/load-with-plugins.ts";
import * as contributions from "./contributions.ts";
import { coreModule, revocationCoreModule, usageSenderModule } from "./core-module.ts";
import { openInjector } from "./injector.ts";
import { KEY_MEMORY, keyMemoryModule } from "./key-memory/module.ts";
import { isChain } from "./key-source/chained.ts";
import { KEY_SOURCE, keySourceModule } from "./key-source/module.ts";
import { OPERATIONS, operationsModule } from "./operations/module.ts";
import { otlpModule } from "./otlp-module.ts";
import { chainMetrics, hookMetrics } from "./plugin-host/metrics.ts";
import { REVOCATION_GUARD, REVOCATION_TRANSPORTS, revocationGuardModule } from "./revocation/module.ts";
import { settingsOf } from "./settings.ts";
import {
  missObserverModule,
  OTLP,
  recorderModule,
  revocationObserverModule,
  TELEMETRY,
  telemetryModule,
  USAGE_RECORDER,
} from "./telemetry/module.ts";
import { authorityAuditModule, leaseAuditModule, revocationAuditModule, USAGE, usageModule } from "./usage/module.ts";
import type { Worker } from "./workers/worker.ts";

/** In the order of making: each needs only what stands above it. */
const MODULES: readonly Module[] = [
  telemetryModule,
  certificatesModule,
  otlpModule, //                              where `telemetry.otlp` is configured
  contributions.lendModule,
  contributions.hooksModule, //               plugins: `hooks`
  keyMemoryModule,
  coreModule, //                              the Core's client, where the edge has a Core
  usageSenderModule,
  contributions.auditSinksModule, //          plugins: `auditSinks`
  usageModule,

  // The four modules of ADR-602.
  contributions.chosenKeySourcesModule, //    the Core, or plugins: `keySources`
  keySourceModule, //                      1. key source
  contributions.contributedCiphersModule, //  plugins: `ciphers`
  cipherMemoryModule,
  cipherModule, //                         2. cipher
  revocationCoreModule,
  revocationAuditModule,
  revocationObserverModule,
  authorityAuditModule,
  contributions.beginningObserverModule,
  revocationGuardModule, //                4. revocation: the guard, and what feeds it:
  contributions.revocationTransportsModule, // the Core's stream, or plugins: `revocationTransports`
  { token: LEASE_GATE, make: (get) => get(REVOCATION_GUARD) },
  contributions.hookedSourceModule,
  accessModule,
  contributions.revocationFeedModule, //      to callers that keep data keys
  contributions.hookedControlModule,
  leaseAuditModule,
  missObserverModule,
  leaseCacheModule, //                     3. cache

  { token: USAGE_RECORDER, make: (get) => get(USAGE) },
  recorderModule,
  contributions.operationHooksModule,
  operationsModule,
];

/** The edge's parts, all made. */
export interface EdgeContainer {
  readonly resolve: Resolve;
}

/** What the edge takes out of the container, once, when it starts. */
export const TOKENS = {
  log: contributions.PROCESS_LOG,
  clock: CLOCK,
  core: contributions.CORE,
  keySource: KEY_SOURCE,
  cipher: CIPHER,
  keyMemory: KEY_MEMORY,
  leaseCache: LEASE_CACHE,
  revocationGuard: REVOCATION_GUARD,
  revocationTransports: REVOCATION_TRANSPORTS,
  accessPolicy: ACCESS_POLICY,
  usage: USAGE,
  telemetry: TELEMETRY,
  otlp: OTLP,
  operations: OPERATIONS,
  hooks: contributions.HOOKS,
  revocationFeed: contributions.REVOCATION_FEED,
  lend: contributions.LEND,
  certificates: CERTIFICATES,
} as const;

/**
 * Makes every part that the configuration asks for.
 *
 * @param signal Aborts when the edge stops.
 * @param bindings Parts that a test puts in the place of the edge's own.
 * @param worker Where several processes serve together, which one this is.
 * @throws {ConfigurationError} for a plugin's section that can never work
 */
export async function createContainer(
  loaded: LoadedConfiguration,
  signal: AbortSignal,
  bindings: readonly Binding[] = [],
  worker?: Pick<Worker, "index" | "turns">,
): Promise<EdgeContainer> {
  const injector = await openInjector();
  const log = createLog(loaded.configuration.log.level);
  for (const binding of [
    bind(LOG, log),
    bind(CLOCK, systemClock),
    bind(contributions.LOADED, loaded),
    bind(contributions.PROCESS_LOG, log),
    bind(STOPPING, signal),
    bind(contributions.WORKER_INDEX, worker?.index ?? 1),
    bind(contributions.TURNS, worker?.turns ?? aloneTurns()),
    ...settingsOf(loaded),
  ]) {
    if (!bindings.some(({ token }) => token === binding.token)) injector.add(binding);
  }
  for (const binding of bindings) injector.add(binding);
  for (const { token, make } of MODULES) {
    if (!injector.has(token)) injector.add({ token, value: await make(injector.resolve) });
  }
  injector.finish();
  observe(injector.resolve);
  return { resolve: injector.resolve };
}

/** Tells the metrics where the figures are. */
function observe(get: Resolve): void {
  const { metrics, observe: observeSources } = get(TELEMETRY);
  const keySource = get(KEY_SOURCE);
  metrics.add(...(get(OTLP)?.metrics ?? []));
  metrics.add(...hookMetrics(get(contributions.HOOKS)));
  if (isChain(keySource)) metrics.add(...chainMetrics(keySource));
  observeSources({
    leases: get(LEASE_CACHE),
    revocation: () => get(REVOCATION_GUARD).status(),
    usage: () => get(USAGE).status(),
    keyMemory: () => get(KEY_MEMORY).stats,
    cipher: () => get(CIPHER).description,
    log: get(contributions.PROCESS_LOG),
  });
}
