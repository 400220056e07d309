/** `crypto-edge/client` */
export type { ErrorCode } from "../../base/errors.ts";
export * from "./client.ts";
export { CryptoEdgeError, type EdgeErrorCode } from "./edge-error.ts";
