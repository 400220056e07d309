/** `crypto-edge/client` */
export type { ErrorCode } from "../errors.ts";
export * from "./client.ts";
export { CryptoEdgeError, type EdgeErrorCode } from "./edge-error.ts";
