/**
 * The Core's event log as it is told (core-protocol.md, "Revocations"). The same JSON goes into a server-sent event's
 * data and into the signed form; `type` is the event's name.
 */
import type { RevocationEvent, RevokeEvent } from "../../edge/revocation/revocation-transport.ts";

/** Those that have a place in the log; heartbeats and resets are made for one stream and are not kept. */
export type LoggedEvent = Extract<RevocationEvent, { type: "revoke" | "rotate" | "restore" }>;

/** What a revocation names: one version, a service, or a tenant. */
export type RevocationScope = Pick<RevokeEvent, "tenant" | "service" | "version">;

export type CoreEvent = RevocationEvent;

/** One server-sent event, ready for the wire: made once, written to every stream. */
export function eventFrame(event: CoreEvent): Buffer {
  return Buffer.from(`id: ${event.log}:${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
}

/** Reads a `Last-Event-ID`; undefined for anything else. */
export function parseEventId(text: string): { log: string; seq: number } | undefined {
  const match = /^([A-Za-z0-9_-]{1,64}):(\d{1,16})$/.exec(text.trim());
  const seq = Number(match?.[2]);
  return match?.[1] !== undefined && Number.isSafeInteger(seq) ? { log: match[1], seq } : undefined;
}
