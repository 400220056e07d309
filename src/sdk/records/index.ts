/**
 * `crypto-edge/records`: an application's values, encrypted. docs/records.md is its guide.
 *
 * @packageDocumentation
 */
export { CryptoEdgeError, contextFrom, type EncryptionContext } from "../client/index.ts";
export type { BlindIndex, BlindIndexOptions } from "./blind-index.ts";
export { inspectRecord, type RecordInfo } from "./format.ts";
export type { RecordsEdge, ReuseRule } from "./key-supply.ts";
export * from "./model.ts";
export type { CacheRule } from "./opened-keys.ts";
export * from "./records.ts";
export type { RewrapBatch, RewrapOptions, RewrapRow } from "./rewrap.ts";
