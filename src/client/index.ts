/** `crypto-edge/client` */
export { CryptoEdgeError, type ErrorCode } from "../errors.ts";
export * from "./client.ts";
