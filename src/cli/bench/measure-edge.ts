/** How soon an edge answers CreateKey: one call after the other, over one connection. */
import { type ClientOptions, createClient } from "../../sdk/client/client.ts";

export interface EdgeLatency {
  readonly calls: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly slowestMs: number;
}

/** @throws {CryptoEdgeError} when the edge refuses, or none answers */
export async function measureEdge(
  options: ClientOptions,
  name: { readonly tenant: string; readonly service: string },
  totalMs: number,
): Promise<EdgeLatency> {
  const client = createClient(options);
  for (let call = 0; call < 200; call++) await client.createKey(name);
  const times: number[] = [];
  const endMs = performance.now() + totalMs;
  for (let nowMs = performance.now(); nowMs < endMs; ) {
    await client.createKey(name);
    const thenMs = nowMs;
    nowMs = performance.now();
    times.push(nowMs - thenMs);
  }
  times.sort((a, b) => a - b);
  const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
  return { calls: times.length, p50Ms: at(0.5), p99Ms: at(0.99), slowestMs: at(1) };
}
