/** How a listener that another edge serves too ends: its callers go over to the other one, and none finds a closed door on the way. */
/** How long new connections are still accepted: those on their way when the others took over. A round trip, with room. */
const ACCEPT_MS = 1_000;
/** How long a kept connection has for a request, by whose answer it is told that it was the last. */
const LAST_REQUEST_MS = 2_000;

/** Resolves when every caller has gone, or after `timeoutMs` at most. What has not asked for anything meanwhile is still connected. */
export function handOver(
  connections: { drain(leastMs: number, mostMs: number): Promise<void> },
  timeoutMs: number,
): Promise<void> {
  return connections.drain(Math.min(ACCEPT_MS, timeoutMs), Math.min(LAST_REQUEST_MS, timeoutMs));
}
