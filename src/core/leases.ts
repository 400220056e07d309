/** `POST /core/v1/leases` (core-protocol.md, "Leases"). */
import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { NAME_PATTERN } from "../base/names.ts";
import { wipe } from "../base/wipe.ts";
import type { AllowsLease } from "./allowance.ts";
import { createSealer, X25519_KEY_BYTES } from "./hpke.ts";
import type { KeyRegistry, OpenedLease, OpenedVersion } from "./keys/registry.ts";
import type { TellGranted } from "./presence.ts";
import { CoreError } from "./protocol/core-error.ts";

const LeaseBody = Type.Object({
  tenant: Type.String({ pattern: NAME_PATTERN }),
  service: Type.String({ pattern: NAME_PATTERN }),
  version: Type.Optional(Type.Integer({ minimum: 1, maximum: 2 ** 32 - 1 })),
  recipient: Type.String({ pattern: "^[A-Za-z0-9_-]{43}$" }),
});
export type LeaseBody = Static<typeof LeaseBody>;
const isLeaseBody = TypeCompiler.Compile(LeaseBody);

export interface LeaseTerms {
  /** How long an edge may use a key. */
  readonly ttlSeconds: number;
  /** When it should renew. */
  readonly refreshAfterSeconds: number;
  /** How many deprecated versions come along with the active one. */
  readonly deprecatedVersions: number;
}

/** Five minutes, as the ADR has it. */
export const DEFAULT_LEASE_TERMS: LeaseTerms = { ttlSeconds: 300, refreshAfterSeconds: 240, deprecatedVersions: 2 };

export function checkLeaseTerms(terms: LeaseTerms): void {
  const { ttlSeconds, refreshAfterSeconds, deprecatedVersions } = terms;
  if (!(ttlSeconds > 0) || !(refreshAfterSeconds > 0) || refreshAfterSeconds > ttlSeconds) {
    throw new Error("a lease's refresh time must be above 0 and at most its time to live");
  }
  if (!Number.isInteger(deprecatedVersions) || deprecatedVersions < 0 || deprecatedVersions > 100) {
    throw new Error("a lease brings from 0 to 100 deprecated versions along");
  }
}

const sealer = createSealer("crypto-edge lease v1");

export interface LeaseService {
  /**
   * Answers one call of an edge, as JSON. `asking` hears what it may have, before the keys' states are read, and gives who hears what
   * it got.
   *
   * @throws CoreError, StoreUnavailable
   */
  answer(
    edge: string,
    body: unknown,
    asking?: (tenant: string, service: string) => TellGranted | undefined,
  ): Promise<string>;
}

export function createLeaseService(
  registry: KeyRegistry,
  options: {
    readonly allows: AllowsLease;
    readonly terms: LeaseTerms;
    readonly createOnFirstUse: boolean;
  },
): LeaseService {
  const { allows, terms, createOnFirstUse } = options;
  const open = async (tenant: string, service: string, version: number | undefined): Promise<OpenedLease> => {
    try {
      return await registry.openVersions(tenant, service, version, terms.deprecatedVersions);
    } catch (error) {
      const missing = error instanceof CoreError && error.code === "key_not_found" && version === undefined;
      if (!createOnFirstUse || !missing) throw error;
      await registry.createService(tenant, service).catch((failure: unknown) => {
        // Another call was first.
        if (!(failure instanceof CoreError && failure.code === "conflict")) throw failure;
      });
      return registry.openVersions(tenant, service, version, terms.deprecatedVersions);
    }
  };
  return {
    async answer(edge, body, asking) {
      if (!isLeaseBody.Check(body)) {
        const path = isLeaseBody.Errors(body).First()?.path.slice(1);
        throw new CoreError("invalid_request", `the lease request is malformed${path ? ` at ${path}` : ""}`);
      }
      const { tenant, service, version } = body;
      // The same answer whether the key exists or not.
      if (!allows(edge, tenant, service)) {
        throw new CoreError("edge_not_allowed", `this Core does not let the edge ${edge} lease ${tenant}/${service}`);
      }
      const recipient = Buffer.from(body.recipient, "base64url");
      if (recipient.length !== X25519_KEY_BYTES)
        throw new CoreError("invalid_request", "the recipient is no X25519 key");
      const tellGranted = asking?.(tenant, service);
      const opened = await open(tenant, service, version);
      try {
        tellGranted?.(
          opened.versions.map((one) => one.version),
          version !== undefined,
        );
        return JSON.stringify({
          tenant,
          service,
          ttl_seconds: terms.ttlSeconds,
          refresh_after_seconds: terms.refreshAfterSeconds,
          // The store's snapshot of the states, never what this Core has heard since: a revocation that it heard while this lease
          // was being made would else count as known to the lease.
          log: opened.log,
          revocation_seq: opened.revocationSeq,
          versions: opened.versions.map((one) => seal(recipient, tenant, service, one)),
        });
      } finally {
        for (const one of opened.versions) wipe(one.key);
      }
    },
  };
}

function seal(recipient: Uint8Array, tenant: string, service: string, one: OpenedVersion) {
  try {
    const { enc, sealed } = sealer.seal(recipient, one.key, Buffer.from(`${tenant}/${service}/${one.version}`));
    return {
      version: one.version,
      state: one.state,
      enc: Buffer.from(enc).toString("base64url"),
      sealed: Buffer.from(sealed).toString("base64url"),
    };
  } catch (error) {
    if (error instanceof RangeError) throw new CoreError("invalid_request", "the recipient is no X25519 key");
    throw error;
  }
}
