/** The key source `core`: leases from a Core over mutual TLS (core-protocol.md, "Leases"). */
import type { KeySource, LeaseGrant, LeaseRequest } from "../key-source.ts";
import type { CoreClient } from "./core-client.ts";

/** The client may be shared with the revocation stream and the usage batches: closing the source closes it for all. */
export function createCoreKeySource(client: CoreClient): KeySource {
  return {
    name: "core",
    lease: (request: LeaseRequest, signal: AbortSignal): Promise<LeaseGrant> => client.lease(request, signal),
    close: async () => client.close(),
  };
}
