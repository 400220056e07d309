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
import type { Peer } from "../base/pki/peer-certificate.ts";
import { type RevocationLists, readRevocationLists } from "../base/pki/revocation-list.ts";
import type { Clock } from "../base/time/clock.ts";
import { systemClock } from "../base/time/system-clock.ts";
import { VERSION } from "../base/version.ts";
import type { CoreTarget } from "../edge/revocation/core-target.ts";
import type { EventPublisher } from "../edge/revocation/event-publisher.ts";
import { type CoreAdmin, createAdmin } from "./admin.ts";
import { createAdminApp } from "./admin-api.ts";
import { compileAllowances, type EdgeAllowance } from "./allowance.ts";
import { type CoreLog, problemResponse, sendProblem } from "./answers.ts";
import { callerName } from "./caller.ts";
import { createCommands } from "./commands.ts";
import { EventLog } from "./event-log.ts";
import { EventStream } from "./event-stream.ts";
import { GrantedLeases } from "./granted-leases.ts";
import { Housekeeping, type UsageRetention } from "./housekeeping.ts";
import { KeyHierarchy } from "./keys/hierarchy.ts";
import { KeyRegistry } from "./keys/registry.ts";
import { checkLeaseTerms, createLeaseService, DEFAULT_LEASE_TERMS, type LeaseTerms } from "./leases.ts";
import { openKeyStore } from "./open-key-store.ts";
import { Presence } from "./presence.ts";
import { CoreError } from "./protocol/core-error.ts";
import { createPublishing } from "./publishing.ts";
import { type CallCounters, createRoutes, DEFAULT_EDGE_LIMITS, type EdgeLimits } from "./routes.ts";
import { SigningKeys } from "./signing-keys.ts";
import { DEFAULT_RETAINED_EVENTS, type PostgresqlOptions } from "./store/open-store.ts";
import type { StoreHealth } from "./store/store.ts";
import { UsageIntake } from "./usage-intake.ts";

export interface CoreOptions {
  /** Port 0 takes a free one. */
  readonly listen: { readonly hostname: string; readonly port: number };
  readonly tls: CoreCertificateTexts;
  /** Read already, in the place of `tls.clientCrls`. */
  readonly revocationLists?: RevocationLists;
  /** Default: that of the Core's own certificate. */
  readonly trustDomain?: string;
  /** SQLite's path, or `:memory:`; or PostgreSQL's connection. */
  readonly database: string | PostgresqlOptions;
  /** 32 bytes. Copied: the caller wipes its own. */
  readonly masterKey: Uint8Array;
  /** The one before it, while `core rotate-master-key` is under way. */
  readonly formerMasterKey?: Uint8Array;
  /** This Core among those of its store. Default: the host's name and the port. */
  readonly name?: string;
  /** Which edges may lease what; nothing by default. */
  readonly allow?: readonly EdgeAllowance[];
  /** A lease for an unknown tenant or service makes it: for `dev` and tests. */
  readonly createOnFirstUse?: boolean;
  readonly lease?: Partial<LeaseTerms>;
  /** Every second, by the protocol; tests may want it sooner. */
  readonly heartbeatMs?: number;
  readonly retainedEvents?: number;
  readonly limits?: Partial<EdgeLimits>;
  /** How many lease calls one edge may make in a second, on average; bursts of ten seconds' worth pass. */
  readonly leasesPerSecondPerEdge?: number;
  /** How many revocation streams one edge may hold. */
  readonly streamsPerEdge?: number;
  readonly usage?: Partial<UsageRetention>;
  readonly publishers?: readonly EventPublisher[];
  /** Who orders things of this Core; started once it listens, closed with it. */
  readonly targets?: readonly CoreTarget[];
  readonly clock?: Clock;
  /** One line for each thing an operator may want to know. Names no secret. */
  readonly log?: CoreLog;
}

/** PEM texts. */
export interface CoreCertificateTexts extends ServerCertificates {
  /** Lists of revoked client certificates: who is on one is let in no more. */
  readonly clientCrls?: readonly { readonly name: string; readonly bytes: Uint8Array }[];
}

/** Counted since the start. */
export interface CoreCounters extends CallCounters {
  readonly publishFailures: number;
  readonly streams: number;
  /** Of all streams: what they were given and have not taken yet. */
  readonly unsentBytes: number;
  readonly connections: number;
}

export interface RunningCore {
  /** `https://<hostname>:<port>` */
  readonly url: string;
  readonly port: number;
  /** The id of this Core's event log. */
  readonly log: string;
  /** The newest event's number. */
  readonly lastSeq: number;
  /** Of the certificates that are let in. */
  readonly trustDomain: string;
  readonly admin: CoreAdmin;
  readonly counters: CoreCounters;
  /** Whether the store answers and has room. */
  readonly health: StoreHealth;
  /** When the Core's own certificate ends. */
  readonly certificateEndsAtMs: number;
  /** `KeyHierarchy.sharedSecret`: the caller wipes it. */
  sharedSecret(purpose: string): Uint8Array;
  /**
   * New connections use the new certificates, open ones go on, but for those whose certificate is on a revocation list now.
   * Rejects, changing nothing, where they are bad.
   */
  reloadCertificates(certificates: CoreCertificateTexts): Promise<void>;
  /** Likewise, with lists that were read already. Throws, changing nothing, where they are bad. */
  useCertificates(certificates: ServerCertificates, lists: RevocationLists): void;
  /** Ends streams, finishes calls in flight (at most a few seconds), closes the database, wipes keys. May be called twice. */
  close(): Promise<void>;
}

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
  let revoked =
    options.revocationLists ?? (await readRevocationLists(certificates.clientCrls ?? [], certificates.clientCa, clock));
  const trustDomain = options.trustDomain ?? trustDomainOf(certificates.cert);
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
      core: options.name ?? `${hostname()}:${options.listen.port}`,
      version: VERSION,
      masterKeys: hierarchy.masterKeyIds,
      log: () => eventLog.log,
      lastSeq: () => eventLog.lastSeq,
      leaseMs: terms.ttlSeconds * 1_000,
      streamsOf: (edge) => stream.streamsOf(edge),
      places: () => stream.places(),
      onCallsElsewhere: (edge, calls) => routes.countElsewhere(edge, calls),
    });
    opened.push(() => presence.close());
    const granted = new GrantedLeases({ usage: store.usage, clock, leaseMs: terms.ttlSeconds * 1_000 });
    opened.push(() => granted.close());
    const housekeeping = new Housekeeping({ store, signingKeys, clock, log, retention: options.usage ?? {} });
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
      granted,
      clock,
      signingKeys,
      status: () => ({
        version: VERSION,
        core: options.name ?? `${hostname()}:${options.listen.port}`,
        database: {
          kind: store.kind,
          name: store.name,
          ...(store.health.away === undefined ? {} : { away: store.health.away }),
          ...(store.health.full === undefined ? {} : { full: store.health.full }),
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
        granted,
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
    const connectionsOf = new Map<string, number>();
    const admitted = new WeakSet<Peer>();
    const server: TlsServer = await startTlsServer({
      hostname: options.listen.hostname,
      port: options.listen.port,
      certificates,
      admit: (peer) => {
        const refusal = peer.certificate && revoked.refusalOf(peer.certificate);
        if (refusal !== undefined || admitted.has(peer)) return refusal;
        const name = callerName(peer);
        const connections = connectionsOf.get(name) ?? 0;
        if (connections >= limits.connections) return `${name} has ${connections} connections already`;
        admitted.add(peer);
        connectionsOf.set(name, connections + 1);
        return undefined;
      },
      onClosed: (peer) => {
        const name = callerName(peer);
        const left = (connectionsOf.get(name) ?? 1) - 1;
        if (left === 0) connectionsOf.delete(name);
        else connectionsOf.set(name, left);
      },
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
      onRefused: ({ remoteAddress, code, reason }) =>
        log("warn", "a connection was refused", { remoteAddress, code, reason }),
      onError: (error) => log("error", "a connection failed", { reason: messageOf(error) }),
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
      revoked = lists;
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
