/** Of the revocation guard and its transports. */
import { figuresOf, MS_IN_SECONDS, metric } from "./define-metric.ts";
import type { MetricDefinition, Sample } from "./metrics.ts";

/** Of the revocation guard's status, what metrics show. */
export interface RevocationFigures {
  readonly seq: number;
  readonly newestSeq: number;
  readonly blocked: number;
  readonly leaseDrops: number;
  readonly silentMs: number;
  readonly authorities: readonly { readonly issuer: string; readonly blocks: number }[];
  readonly transports: readonly {
    readonly name: string;
    readonly connected: boolean;
    readonly lastHeardMs: number | undefined;
    readonly lagMs: number | undefined;
    readonly events: number;
    readonly duplicates: number;
    readonly gaps: number;
    readonly disconnections: number;
    readonly drops: Readonly<Partial<Record<string, number>>>;
  }[];
}

/** `revocation` gives undefined where nothing pushes revocations. */
export function revocationMetrics(revocation: () => RevocationFigures | undefined): MetricDefinition[] {
  type Transport = RevocationFigures["transports"][number];
  const labels = { transport: "the names of the configured transports" };
  const figure = figuresOf(revocation);
  const each =
    (name: Exclude<keyof Transport, "name" | "drops">, scale = 1) =>
    (): readonly Sample[] =>
      (revocation()?.transports ?? []).flatMap((transport) => {
        const value = transport[name];
        return value === undefined ? [] : [{ labels: { transport: transport.name }, value: Number(value) * scale }];
      });
  return [
    metric("revocation_connected", "gauge", "1 while the transport is connected.", each("connected"), labels),
    metric(
      "revocation_last_heard_seconds",
      "gauge",
      "Time since the transport's last event or heartbeat.",
      each("lastHeardMs", MS_IN_SECONDS),
      labels,
    ),
    metric(
      "revocation_lag_seconds",
      "gauge",
      "From the Core's clock to the arrival here, of the newest event or heartbeat.",
      each("lagMs", MS_IN_SECONDS),
      labels,
    ),
    metric(
      "revocation_events_total",
      "counter",
      "Events that this transport was first to bring.",
      each("events"),
      labels,
    ),
    metric(
      "revocation_duplicates_total",
      "counter",
      "Events that another transport had brought before.",
      each("duplicates"),
      labels,
    ),
    metric(
      "revocation_gaps_total",
      "counter",
      "Times that the transport showed that an event was missing.",
      each("gaps"),
      labels,
    ),
    metric(
      "revocation_disconnections_total",
      "counter",
      "Times that the transport's connection went.",
      each("disconnections"),
      labels,
    ),
    metric(
      "revocation_dropped_events_total",
      "counter",
      "Events not believed, by why: signature, age, scope.",
      () =>
        (revocation()?.transports ?? []).flatMap(({ name, drops }) =>
          Object.entries(drops).map(([reason, value]) => ({ labels: { transport: name, reason }, value: value ?? 0 })),
        ),
      { ...labels, reason: "why the event was dropped" },
    ),
    metric(
      "revocation_silence_seconds",
      "gauge",
      "How long no transport has been heard.",
      figure("silentMs", MS_IN_SECONDS),
    ),
    metric("revocation_seq", "gauge", "The newest event applied with no hole before it.", figure("seq")),
    metric("revocation_newest_seq", "gauge", "The newest event heard of.", figure("newestSeq")),
    metric("revocation_blocked_scopes", "gauge", "Versions, services and tenants blocked.", figure("blocked")),
    metric(
      "revocation_authority_blocks",
      "gauge",
      "Scopes that authorities other than the Core have blocked.",
      () => (revocation()?.authorities ?? []).map(({ issuer, blocks }) => ({ labels: { issuer }, value: blocks })),
      { issuer: "the configured issuers that have blocked something" },
    ),
    metric(
      "revocation_lease_drops_total",
      "counter",
      "Times that every lease was dropped for safety.",
      figure("leaseDrops"),
    ),
  ];
}
