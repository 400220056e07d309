/** `crypto-edge/plugin`: everything a plugin imports. */
export { type Static, Type } from "@sinclair/typebox";
export type { Clock, Timer } from "../clock/clock.ts";
export * from "../key-source/key-source.ts";
export * from "../revocation/revocation-transport.ts";
export * from "./plugin.ts";
