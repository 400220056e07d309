/**
 * `crypto-edge/client`: calls an edge. docs/client.md is its guide.
 *
 * @packageDocumentation
 */
export type { ErrorCode } from "../../base/errors.ts";
export type { EncryptionContext } from "../../edge/cipher/context.ts";
export type { CallHistogram, CallOptions } from "./caller.ts";
export * from "./client.ts";
export { type ContextValue, contextFrom } from "./context.ts";
export { CryptoEdgeError, type EdgeErrorCode, type EdgeErrorOptions } from "./edge-error.ts";
export type * from "./operations.ts";
export type { RetryOptions } from "./retry.ts";
export type { RevocationListener, RevocationWatch, RevokedScope } from "./revocations.ts";
export type { ClientTls } from "./transport.ts";
export { parseWrapped, type WrappedKeyInfo } from "./wrapped.ts";
