/** `crypto-edge/plugin`: everything a plugin imports. */
export { type Static, Type } from "@sinclair/typebox";
export { FinalFailure } from "../../base/attempts.ts";
export {
  Address,
  Duration,
  type HostAndPort,
  Name,
  Path,
  Secret,
  Section,
  Size,
} from "../../base/config/schema-types.ts";
export { type ErrorCode, messageOf, OperationError } from "../../base/errors.ts";
export type { Health } from "../../base/health.ts";
export { isName } from "../../base/names.ts";
export { type Clock, sleep, type Timer } from "../../base/time/clock.ts";
export type { KeptCopy, KeptCopyOptions } from "../../base/time/kept-copy.ts";
export { allocateSecret, wipe } from "../../base/wipe.ts";
export type { Operation } from "../../edge/access/access-policy.ts";
export { compileGlobs } from "../../edge/access/glob.ts";
export type { Principal } from "../../edge/access/principal.ts";
export type { RevocationScope } from "../../edge/cache/lease-cache.ts";
export type { CipherAdapter, DerivedKey, ServiceKeyReader } from "../../edge/cipher/cipher.ts";
export * from "../../edge/doors/door.ts";
export * from "../../edge/key-source/key-source.ts";
export type { Caller, MaybePromise, Operations } from "../../edge/operations/operations.ts";
export * from "../../edge/plugin-host/hooks.ts";
export * from "../../edge/plugin-host/plugin.ts";
export type { AuthorityOrder, AuthorityOutcome } from "../../edge/revocation/authority-blocks.ts";
export type * from "../../edge/revocation/core-target.ts";
export type { EventPublisher } from "../../edge/revocation/event-publisher.ts";
export { keepConnected } from "../../edge/revocation/keep-connected.ts";
export * from "../../edge/revocation/revocation-transport.ts";
export type { AuditEvent, AuditSink } from "../../edge/usage/audit-sink.ts";
export {
  checkLogin,
  connectedPublisher,
  connectedTransport,
  followLogin,
  type PublisherConnection,
  readSetting,
  readTls,
} from "./broker.ts";
export { keepCopy } from "./kept-copies.ts";
export { BrokerTls, LeaseTimes, PasswordLogin } from "./section-parts.ts";
export * from "./stored-versions.ts";
