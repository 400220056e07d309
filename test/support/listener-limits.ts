import type { ListenerLimits } from "../../src/edge/listeners/listener.ts";

/** Room for what a test does, and small enough to be reached by one that wants to. */
export const LISTENER_LIMITS: ListenerLimits = {
  connectionsMax: 100,
  connectionsPerPrincipalMax: 50,
  failedHandshakesPerSecond: 10_000,
  requestsMax: 50,
  requestsPerCallerMax: 20,
  headerBytesMax: 16_384,
  bodyBytesMax: 65_536,
  bodiesBytesMax: 1 << 20,
  requestTimeoutMs: 30_000,
  idleTimeoutMs: 60_000,
};
