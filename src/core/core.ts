/**
 * The reference Core: core-protocol.md over mutual TLS, its keys in SQLite or, for several Cores, in PostgreSQL.
 *
 * @example
 * const core = await startCore({ listen: { hostname: "127.0.0.1", port: 0 }, tls, database: "core.db", masterKey, allow });
 * await core.admin.createService("tenant-a", "billing");
 * await core.close();
 */
import { hostname } from "node:os";
import { messageOf } from "../base/errors.ts";
import { type ServerCertificates, startTlsServer, type TlsServer } from "../base/network/tls/server.ts";
import { describeCertificate } from "../base/pki/authority.ts";
import { parseSpiffeId } from "../base/pki/identity.ts";
import { type RevocationLists, readRevocationLists } from "../base/pki/revocation-list.ts";
import { systemClock } from "../base/time/system-clock.ts";
import { VERSION } from "../base/version.ts";
import { createAdmin } from "./admin.ts";
import { createAdminApp } from "./admin-api.ts";
import { compileAllowances } from "./allowance.ts";
import { problemResponse, sendProblem } from "./answers.ts";
import { CallerConnections } from "./caller-connections.ts";
import { createCommands } from "./commands.ts";
import type { CoreCertificateTexts, CoreOptions } from "./core-options.ts";
import { EventLog } from "./event-log.ts";
import { EventStream } from "./event-stream.ts";
import { Housekeeping } from "./housekeeping.ts";
import { KeyHierarchy } from "./keys/hierarchy.ts";
import { KeyRegistry } from "./keys/registry.ts";
import { checkLeaseTerms, createLeaseService, DEFAULT_LEASE_TERMS, type LeaseTerms } from "./leases.ts";
import { speakNodeHttp } from "./node-http.ts";
import { openKeyStore } from "./open-key-store.ts";
import { Presence } from "./presence.ts";
import { CoreError } from "./protocol/core-error.ts";
import { createPublishing } from "./publishing.ts";
import { type CallCounters, createRoutes, DEFAULT_EDGE_LIMITS, type EdgeLimits } from "./routes.ts";
import type { CoreCounters, RunningCore } from "./running-core.ts";
import { SigningKeys } from "./signing-keys.ts";
import { DEFAULT_RETAINED_EVENTS } from "./store/open-store.ts";
import { UsageIntake } from "./usage-intake.ts";

const CLOSE_GRACE_MS = 3_000;

/** @throws Error with a sentence that says what to do, where the database, the certificates or the address can't be used. */
export async function startCore(options: CoreOptions): Promise<RunningCore> {
  const clock = options.clock ?? systemClock;
  const now = (): number => clock.wallMs();
  const log = options.log ?? (() => undefined);
  const publishers = options.publishers ?? [];
  const terms: LeaseTerms = { ...DEFAULT_LEASE_TERMS, ...options.lease };
  checkLeaseTerms(terms);
  const limits: EdgeLimits = {
    ...DEFAULT_EDGE_LIMITS,
    ...(options.leasesPerSecondPerEdge === undefined ? {} : { leasesPerSecond: options.leasesPerSecondPerEdge }),
    ...(options.streamsPerEdge === undefined ? {} : { streams: options.streamsPerEdge }),
    ...options.limits,
  };
  const retainedEvents = Math.max(1, options.retainedEvents ?? DEFAULT_RETAINED_EVENTS);
  let certificates: CoreCertificateTexts = options.tls;
  const revoked =
    options.revocationLists ?? (await readRevocationLists(certificates.clientCrls ?? [], certificates.clientCa, clock));
  const trustDomain = options.trustDomain ?? trustDomainOf(certificates.cert);
  const coreName = options.name ?? `${hostname()}:${options.listen.port}`;
  const startedAt = new Date(now()).toISOString();

  /** What has been opened, in order: closed the other way round. */
  const opened: (() => unknown)[] = [];
  const closeAll = async (): Promise<void> => {
    for (const end of opened.splice(0).reverse()) await end();
  };
  try {
    const hierarchy = new KeyHierarchy(options.masterKey, options.formerMasterKey);
    opened.push(() => hierarchy.wipe());
    const store = await openKeyStore({
      database: options.database,
      retainedEvents,
      clock,
      hierarchy,
      onChange: (away) =>
        away === undefined
          ? log("info", "the database answers again")
          : log("error", "the database is away: no lease is granted, no event told", { reason: away }),
      user: `core ${coreName}`,
      onUnfit: (reason) => log("error", "this Core grants nothing and tells nothing from here on", { reason }),
      onLate: (late) =>
        late === undefined
          ? log("info", "events of other Cores are told at once again")
          : log("warn", "events of other Cores are told up to a second late", { reason: late }),
    });
    opened.push(() => store.close());
    const signingKeys = await SigningKeys.open({ store, hierarchy, now });
    const publishing = createPublishing({ publishers, signingKeys, log });
    opened.push(() => publishing.close());
    const eventLog = await EventLog.open(store, retainedEvents, {
      event: (event) => {
        stream.tell(event);
        publishing.publish(event);
      },
      lostEvents: (lost) =>
        log(
          "error",
          "the database has lost events that were committed (a failover to a standby that lagged?): a new event log begins; find what was revoked and revoke it again",
          { ...lost },
        ),
      newHistory: () => {
        log("warn", "the database has another history: every edge is told to drop its leases", { log: eventLog.log });
        stream.newHistory();
        presence.newHistory();
      },
    });
    const stream = new EventStream({
      log: eventLog,
      clock,
      heartbeatMs: options.heartbeatMs ?? 1_000,
      onHeartbeat: (event) => publishing.publish(event),
    });
    opened.push(() => stream.close());
    const registry = new KeyRegistry({
      store,
      hierarchy,
      now,
      // What can't be read back now is told by the next heartbeat: the change itself is committed.
      onCommitted: (events) => eventLog.committed(events).catch(() => undefined),
    });
    const allows = compileAllowances(options.allow ?? []);
    const presence = new Presence({
      store,
      clock,
      core: coreName,
      version: VERSION,
      masterKeys: hierarchy.masterKeyIds,
      log: () => eventLog.log,
      lastSeq: () => eventLog.lastSeq,
      leaseMs: terms.ttlSeconds * 1_000,
      streamsOf: (edge) => stream.streamsOf(edge),
      places: () => stream.places(),
      onCallsElsewhere: (edge, calls) => routes.countElsewhere(edge, calls),
      onSkew: (skewMs) =>
        skewMs === 0
          ? log("info", "this Core's clock agrees with the database's again")
          : log("warn", "this Core's clock is apart from the database's: have both follow one time server", { skewMs }),
    });
    opened.push(() => presence.close());
    await presence.begin();
    const housekeeping = new Housekeeping({
      store,
      signingKeys,
      hierarchy,
      clock,
      log,
      retention: options.usage ?? {},
    });
    opened.push(() => housekeeping.close());
    const calls: CallCounters = {
      leaseCalls: 0,
      leaseRefusals: 0,
      usageBatches: 0,
      usageDuplicates: 0,
      usageRefused: 0,
      adminCalls: 0,
    };
    const admin = createAdmin({
      store,
      registry,
      hierarchy,
      presence,
      clock,
      signingKeys,
      status: () => ({
        version: VERSION,
        core: coreName,
        database: {
          kind: store.kind,
          name: store.name,
          ...(store.health.away === undefined ? {} : { away: store.health.away }),
          ...(store.health.unfit === undefined ? {} : { unfit: store.health.unfit }),
          ...(store.health.full === undefined ? {} : { full: store.health.full }),
          ...(store.health.late === undefined ? {} : { late: store.health.late }),
        },
        log: eventLog.log,
        lastSeq: eventLog.lastSeq,
        streams: stream.streams,
        connections: server.connections,
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
      intake: new UsageIntake({ usage: store.usage, allows, now }),
      presence,
      admin: createAdminApp(admin, (error) => problemResponse(error, log)),
      counters: calls,
    });

    let closing = false;
    const callers = new CallerConnections(limits.connections, revoked);
    const onError = (error: unknown): void => log("error", "a connection failed", { reason: messageOf(error) });
    const server: TlsServer = await startTlsServer({
      hostname: options.listen.hostname,
      port: options.listen.port,
      certificates,
      admit: (peer) => callers.admit(peer),
      onClosed: (peer) => callers.closed(peer),
      onConnection: speakNodeHttp({
        onRequest: async (request, response, peer) => {
          try {
            if (closing) {
              throw new CoreError("unavailable", "this Core is stopping: ask again soon", { retryAfterSeconds: 1 });
            }
            await routes.handle(request, response, peer);
          } catch (error) {
            sendProblem(request, response, error, log);
          }
        },
        onError,
      }),
      onRefused: ({ remoteAddress, code, reason }) =>
        log("warn", "a connection was refused", { remoteAddress, code, reason }),
      onError,
    }).catch((error: unknown) => {
      throw listenError(error, options.listen);
    });
    opened.push(async () => {
      closing = true;
      stream.close();
      await server.close(CLOSE_GRACE_MS);
    });
    const commands = createCommands({ registry, presence, clock, leaseMs: terms.ttlSeconds * 1_000, log });
    for (const target of options.targets ?? []) {
      opened.push(() => target.close());
      await target.start(commands);
    }
    const useCertificates = (next: ServerCertificates, lists: RevocationLists): void => {
      server.reload(next);
      certificates = next;
      callers.use(lists);
      server.recheck();
    };
    let closed: Promise<void> | undefined;
    const host = options.listen.hostname.includes(":") ? `[${options.listen.hostname}]` : options.listen.hostname;
    const counters = Object.defineProperties(calls, {
      publishFailures: { get: () => publishing.failures, enumerable: true },
      streams: { get: () => stream.streams, enumerable: true },
      unsentBytes: { get: () => stream.unsentBytes, enumerable: true },
      connections: { get: () => server.connections, enumerable: true },
    }) as CoreCounters;
    return {
      url: `https://${host}:${server.port}`,
      port: server.port,
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

function listenError(error: unknown, listen: { hostname: string; port: number }): Error {
  const { code } = error as NodeJS.ErrnoException;
  const where = `${listen.hostname}:${listen.port}`;
  if (code === "EADDRINUSE") return new Error(`${where} is in use: stop what listens there, or choose another port`);
  if (code === "EACCES") return new Error(`this user may not listen on ${where}: choose a port above 1023`);
  return new Error(`the Core can't listen on ${where}: ${messageOf(error)}`, { cause: error });
}
