/** `crypto-edge/plugin`: everything a plugin imports. */
export { type Static, Type } from "@sinclair/typebox";
export type { Operation } from "../access/access-policy.ts";
export type { Principal } from "../access/principal.ts";
export type { RevocationScope } from "../cache/lease-cache.ts";
export { type Clock, sleep, type Timer } from "../clock/clock.ts";
export { Address, Duration, type HostAndPort, Name, Path, Secret, Section, Size } from "../config/schema-types.ts";
export type { EventPublisher } from "../core/event-publisher.ts";
export type { CoreEvent } from "../core/events.ts";
export { messageOf } from "../errors.ts";
export type { Health } from "../health.ts";
export * from "../key-source/key-source.ts";
export * from "../revocation/revocation-transport.ts";
export type { AuditEvent, AuditSink } from "../usage/audit-sink.ts";
export { allocateSecret, wipe } from "../wipe.ts";
export * from "./broker.ts";
export * from "./hooks.ts";
export * from "./plugin.ts";
export * from "./stored-versions.ts";
