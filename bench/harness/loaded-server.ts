/** A server under load, whatever protocol it speaks: what a comparison of processor times needs of it. */
import { generateLoad } from "./generator.ts";
import type { Peer } from "./kes.ts";

export type PeerOperation = "create" | "decrypt";

export interface OperationLoad {
  readonly requests: number;
  readonly latencyMs: { readonly p50: number; readonly p99: number };
}

export interface LoadedServer {
  readonly name: string;
  readonly pid: number;
  /** Each connection asks again as soon as it was answered, for so many seconds. Throws when a request fails. */
  load(operation: PeerOperation, connections: number, seconds: number): Promise<OperationLoad>;
}

/** One that speaks HTTP/1.1. */
export const overHttp = ({ name, pid, target, requests }: Peer): LoadedServer => ({
  name,
  pid,
  async load(operation, connections, seconds) {
    const load = await generateLoad({
      target,
      connections,
      seconds,
      warmUpSeconds: 0,
      requests: [requests[operation]],
    });
    if (load.errors > 0) throw new Error(`${name}: ${load.errors} requests failed: ${load.firstError}`);
    return load;
  },
});
