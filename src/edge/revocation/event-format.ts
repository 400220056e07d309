import { isName } from "../../base/names.ts";
import type { RevocationEvent } from "./revocation-transport.ts";

const LOG = /^[A-Za-z0-9_-]{1,64}$/;
const REASON_MAX_LENGTH = 1_024;
const VERSION_MAX = 2 ** 32 - 1;

/**
 * Reads the data of an event as the Core makes it (core-protocol.md, "Revocations"), from whatever JSON gave.
 *
 * @throws {Error} that names the field in question. Fields that are not known are left out.
 */
export function parseRevocationEvent(value: unknown): RevocationEvent {
  if (typeof value !== "object" || value === null) throw new Error("an event is an object");
  const data = value as Readonly<Record<string, unknown>>;
  const { type } = data;
  const base = {
    log: check("log", data.log, (log): log is string => typeof log === "string" && LOG.test(log)),
    seq: check("seq", data.seq, (seq): seq is number => Number.isSafeInteger(seq) && (seq as number) >= 0),
    at: check("at", data.at, (at): at is string => typeof at === "string" && isTime(at)),
  };
  const counted = () => check("seq", data.seq, (seq): seq is number => (seq as number) >= 1);
  switch (type) {
    case "heartbeat":
      return { type, ...base };
    case "reset":
      return { type, ...base, reason: reason(data.reason) };
    case "revoke":
      counted();
      return {
        type,
        ...base,
        ...scope(data),
        state: check("state", data.state, (state) => state === "compromised" || state === "destroyed"),
        reason: reason(data.reason),
      };
    case "restore":
      counted();
      return { type, ...base, ...scope(data) };
    case "rotate":
      counted();
      return {
        type,
        ...base,
        tenant: name("tenant", data.tenant),
        service: name("service", data.service),
        version: check("version", data.version, isVersion),
      };
    default:
      throw new Error("type is not one that this edge knows");
  }
}

/** An event with a place of its own in the log; a heartbeat and a reset repeat the newest. */
export type CountedEvent = Exclude<RevocationEvent, { type: "heartbeat" | "reset" }>;

export function isCounted(event: RevocationEvent): event is CountedEvent {
  return event.type !== "heartbeat" && event.type !== "reset";
}

function scope(data: Readonly<Record<string, unknown>>): { tenant: string; service?: string; version?: number } {
  const tenant = name("tenant", data.tenant);
  if (data.service === undefined || data.service === null) {
    if (data.version !== undefined && data.version !== null) throw new Error("version without a service");
    return { tenant };
  }
  const service = name("service", data.service);
  if (data.version === undefined || data.version === null) return { tenant, service };
  return { tenant, service, version: check("version", data.version, isVersion) };
}

function name(field: string, value: unknown): string {
  return check(field, value, (text): text is string => typeof text === "string" && isName(text));
}

function reason(value: unknown): string {
  return typeof value === "string" ? value.slice(0, REASON_MAX_LENGTH) : "";
}

function isVersion(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= VERSION_MAX;
}

function isTime(text: string): boolean {
  return text.length <= 40 && text.endsWith("Z") && Number.isFinite(Date.parse(text));
}

function check<T>(field: string, value: unknown, holds: (value: unknown) => value is T): T {
  if (!holds(value)) throw new Error(`${field} is missing or not what it should be`);
  return value;
}

/** The longest signed event that is looked at. */
export const JWS_MAX_LENGTH = 16_384;

/** The place in a log that a signed event claims, its signature not looked at; undefined for a heartbeat and what can't be read. */
export function claimOf(jws: string): { readonly log: string; readonly seq: number } | undefined {
  if (jws.length > JWS_MAX_LENGTH) return undefined;
  try {
    const payload = jws.slice(jws.indexOf(".") + 1, jws.lastIndexOf("."));
    const { type, log, seq } = JSON.parse(Buffer.from(payload, "base64url").toString()) as Record<string, unknown>;
    if (type === "heartbeat" || type === "reset") return undefined;
    return typeof log === "string" && typeof seq === "number" ? { log, seq } : undefined;
  } catch {
    return undefined;
  }
}
