/**
 * The reference Core: core-protocol.md over mutual TLS, its keys in SQLite or, for several Cores, in PostgreSQL.
 *
 * @example
 * const core = await startCore({ listen: { hostname: "127.0.0.1", port: 0 }, tls, database: "core.db", masterKey, allow });
 * await core.admin.createService("tenant-a", "billing");
 * await core.close();
 */
import type { ServerCertificates } from "../base/network/tls/server.ts";
import { describeCertificate } from "../base/pki/authority.ts";
import { parseSpiffeId } from "../base/pki/identity.ts";
import { type RevocationLists, readRevocationLists } from "../base/pki/revocation-list.ts";
import { VERSION } from "../base/version.ts";
import { type CoreStatus, createAdmin } from "./admin.ts";
import { createAdminApp } from "./admin-api.ts";
import { compileAllowances } from "./allowance.ts";
import { problemResponse } from "./answers.ts";
import { createCommands } from "./commands.ts";
import { openCoreListener } from "./core-listener.ts";
import type { CoreCertificateTexts, CoreOptions } from "./core-options.ts";
import { openCoreParts } from "./core-parts.ts";
import { settingsOf } from "./core-settings.ts";
import type { CallCounters } from "./edge-calls.ts";
import { createLeaseService } from "./leases.ts";
import { createRoutes } from "./routes.ts";
import type { CoreCounters, RunningCore } from "./running-core.ts";
import type { Store } from "./store/store.ts";
import { UsageIntake } from "./usage-intake.ts";

const NO_CALLS: Readonly<CallCounters> = {
  leaseCalls: 0,
  leaseRefusals: 0,
  usageBatches: 0,
  usageDuplicates: 0,
  usageRefused: 0,
  adminCalls: 0,
};

/** @throws Error with a sentence that says what to do, where the database, the certificates or the address can't be used. */
export async function startCore(options: CoreOptions): Promise<RunningCore> {
  const settings = settingsOf(options);
  const { clock, log, terms, limits, name } = settings;
  const now = (): number => clock.wallMs();
  let certificates: CoreCertificateTexts = options.tls;
  const revoked =
    options.revocationLists ?? (await readRevocationLists(certificates.clientCrls ?? [], certificates.clientCa, clock));
  const trustDomain = options.trustDomain ?? trustDomainOf(certificates.cert);
  const startedAt = new Date(now()).toISOString();

  /** What has been opened, in order: closed the other way round. */
  const opened: (() => unknown)[] = [];
  const closeAll = async (): Promise<void> => {
    for (const end of opened.splice(0).reverse()) await end();
  };
  try {
    const parts = await openCoreParts(options, settings, opened, (edge, amount) => routes.countElsewhere(edge, amount));
    const { hierarchy, store, signingKeys, publishing, eventLog, stream, registry, presence, housekeeping } = parts;
    const allows = compileAllowances(options.allow ?? []);
    const calls: CallCounters = { ...NO_CALLS };
    const admin = createAdmin({
      store,
      registry,
      hierarchy,
      presence,
      clock,
      signingKeys,
      status: () => ({
        version: VERSION,
        core: name,
        database: databaseStatus(store),
        log: eventLog.log,
        lastSeq: eventLog.lastSeq,
        streams: stream.streams,
        connections: listener.connections,
        signingKey: signingKeys.kid,
        certificateEndsAt: new Date(certificateEndsAtMs(certificates.cert)).toISOString(),
        startedAt,
      }),
    });
    const routes = createRoutes({
      clock,
      log,
      trustDomain,
      limits,
      leases: createLeaseService(registry, {
        allows,
        terms,
        createOnFirstUse: options.createOnFirstUse ?? false,
      }),
      stream,
      eventLog,
      signingKeys,
      intake: new UsageIntake({ usage: store.usage, allows, now: () => presence.nowMs() }),
      presence,
      admin: createAdminApp(admin, (error) => problemResponse(error, log)),
      counters: calls,
    });

    const listener = await openCoreListener({
      listen: options.listen,
      certificates,
      lists: revoked,
      connectionsMax: limits.connections,
      handle: (request, response, peer) => routes.handle(request, response, peer),
      log,
    });
    opened.push(async () => {
      listener.refuseCalls();
      stream.close();
      await listener.close();
    });
    const commands = createCommands({ registry, presence, store, leaseMs: terms.ttlSeconds * 1_000, log });
    for (const target of options.targets ?? []) {
      opened.push(() => target.close());
      await target.start(commands);
    }
    const useCertificates = (next: ServerCertificates, lists: RevocationLists): void => {
      listener.use(next, lists);
      certificates = next;
    };
    let closed: Promise<void> | undefined;
    const host = options.listen.hostname.includes(":") ? `[${options.listen.hostname}]` : options.listen.hostname;
    const counters = Object.defineProperties(calls, {
      publishFailures: { get: () => publishing.failures, enumerable: true },
      streams: { get: () => stream.streams, enumerable: true },
      unsentBytes: { get: () => stream.unsentBytes, enumerable: true },
      connections: { get: () => listener.connections, enumerable: true },
    }) as CoreCounters;
    return {
      url: `https://${host}:${listener.port}`,
      port: listener.port,
      get log() {
        return eventLog.log;
      },
      get lastSeq() {
        return eventLog.lastSeq;
      },
      trustDomain,
      admin,
      counters,
      get health() {
        return store.health;
      },
      get hasMasterKey() {
        return housekeeping.hasMasterKey;
      },
      get certificateEndsAtMs() {
        return certificateEndsAtMs(certificates.cert);
      },
      sharedSecret: (purpose) => hierarchy.sharedSecret(purpose),
      async reloadCertificates(next) {
        useCertificates(next, await readRevocationLists(next.clientCrls ?? [], next.clientCa, clock));
      },
      useCertificates,
      close() {
        closed ??= closeAll();
        return closed;
      },
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

function databaseStatus({ kind, name, health: { away, unfit, full, late } }: Store): CoreStatus["database"] {
  return {
    kind,
    name,
    ...(away === undefined ? {} : { away }),
    ...(unfit === undefined ? {} : { unfit }),
    ...(full === undefined ? {} : { full }),
    ...(late === undefined ? {} : { late }),
  };
}

function certificateEndsAtMs(certificate: string): number {
  return describeCertificate(certificate).notAfter.getTime();
}

function trustDomainOf(certificate: string): string {
  for (const uri of describeCertificate(certificate).uris) {
    const id = parseSpiffeId(uri);
    if (id !== undefined) return id.trustDomain;
  }
  throw new Error(
    "the Core's certificate names no SPIFFE ID: make one with `crypto-edge pki core`, or set `trust_domain`",
  );
}
