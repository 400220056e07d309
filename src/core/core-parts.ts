/** The parts of a Core that need no listener: its keys, its events and who follows them, opened in the order in which each needs the other. */
import { VERSION } from "../base/version.ts";
import type { CoreOptions } from "./core-options.ts";
import type { CoreSettings } from "./core-settings.ts";
import { EventLog } from "./event-log.ts";
import { EventStream } from "./event-stream.ts";
import { Housekeeping } from "./housekeeping.ts";
import { KeyHierarchy } from "./keys/hierarchy.ts";
import { KeyRegistry } from "./keys/registry.ts";
import { openKeyStore } from "./open-key-store.ts";
import { Presence } from "./presence.ts";
import { createPublishing, type Publishing } from "./publishing.ts";
import { SigningKeys } from "./signing-keys.ts";
import type { Store } from "./store/store.ts";

export interface CoreParts {
  readonly hierarchy: KeyHierarchy;
  readonly store: Store;
  readonly signingKeys: SigningKeys;
  readonly publishing: Publishing;
  readonly eventLog: EventLog;
  readonly stream: EventStream;
  readonly registry: KeyRegistry;
  readonly presence: Presence;
  readonly housekeeping: Housekeeping;
}

/**
 * @param opened takes what closes each part, in the order of opening, also where a later one can't be opened
 * @param onCallsElsewhere hears of lease calls of an edge that other Cores answered
 */
export async function openCoreParts(
  options: CoreOptions,
  settings: CoreSettings,
  opened: (() => unknown)[],
  onCallsElsewhere: (edge: string, calls: number) => void,
): Promise<CoreParts> {
  const { clock, log, name, terms, retainedEvents } = settings;
  const now = (): number => clock.wallMs();
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
    user: `core ${name}`,
    onUnfit: (reason) => log("error", "this Core grants nothing and tells nothing from here on", { reason }),
    onLate: (late) =>
      late === undefined
        ? log("info", "events of other Cores are told at once again")
        : log("warn", "events of other Cores are told up to a second late", { reason: late }),
  });
  opened.push(() => store.close());
  const signingKeys = await SigningKeys.open({ store, hierarchy, now });
  const publishing = createPublishing({ publishers: options.publishers ?? [], signingKeys, log });
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
    heartbeatMs: settings.heartbeatMs,
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
  const presence = new Presence({
    store,
    clock,
    core: name,
    version: VERSION,
    masterKeys: hierarchy.masterKeyIds,
    log: () => eventLog.log,
    lastSeq: () => eventLog.lastSeq,
    leaseMs: terms.ttlSeconds * 1_000,
    streamsOf: (edge) => stream.streamsOf(edge),
    places: () => stream.places(),
    onCallsElsewhere,
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
  return { hierarchy, store, signingKeys, publishing, eventLog, stream, registry, presence, housekeeping };
}
