import { OperationError } from "../../base/errors.ts";
import type { Cipher, WrappingSession } from "../cipher/cipher.ts";
import type { KeySlot } from "../key-memory/key-memory.ts";
import type { LeasableState } from "../key-source/key-source.ts";
import type { Due } from "./due-heap.ts";
import type { LeasedVersion } from "./lease-cache.ts";

/** The `version` of a lease on whatever versions the source gives; any other lease is on one version alone. */
export const WHOLE_SERVICE = 0;

/** An L3 version in key memory, with its wrapping session once one has been needed. */
export class HeldVersion implements LeasedVersion {
  readonly tenant: string;
  readonly service: string;
  readonly version: number;
  state: LeasableState;
  readonly #cipher: Cipher;
  readonly #slot: KeySlot;
  #session: WrappingSession | undefined;

  constructor(
    identity: { tenant: string; service: string; version: number },
    state: LeasableState,
    cipher: Cipher,
    slot: KeySlot,
  ) {
    this.tenant = identity.tenant;
    this.service = identity.service;
    this.version = identity.version;
    this.state = state;
    this.#cipher = cipher;
    this.#slot = slot;
  }

  /** Throws `lease_unavailable` once wiped: a caller that waited has lost its lease in the very same moment. */
  get session(): WrappingSession {
    return this.#session ?? this.#begin();
  }

  get wasUsed(): boolean {
    return this.#session !== undefined;
  }

  /** Whether this is the same key; in constant time. */
  matches(key: Uint8Array, equal: (a: Uint8Array, b: Uint8Array) => boolean): boolean {
    return this.#slot.use((held) => equal(held, key));
  }

  wipe(): void {
    this.#session?.wipe();
    this.#session = undefined;
    this.#slot.release();
  }

  #begin(): WrappingSession {
    if (this.#slot.released) {
      throw new OperationError("lease_unavailable", "The lease ended in this very moment. Ask again.", {
        retryAfterMs: 0,
      });
    }
    this.#session = this.#cipher.begin(this, this.#slot);
    return this.#session;
  }
}

/** A call to the source that is under way, and shared by all who wait for it. */
export interface Fetch {
  /** Resolves when the lease is installed; rejects with `OperationError`. Somebody always listens. */
  readonly promise: Promise<void>;
  /** Whether a caller waits: then it goes before background renewals. */
  demanded: boolean;
  /** The answer may already be old when it comes: ask once more. */
  again: boolean;
}

/**
 * What the edge knows under one tenant, service, and version (or the whole service): held while `versions` is not empty,
 * being fetched while `fetch` is set; it is forgotten when neither is so.
 */
export class Lease implements Due {
  readonly tenant: string;
  readonly service: string;
  /** `WHOLE_SERVICE`, or the version that was asked for alone. */
  readonly version: number;

  /** The hard deadline, in lease time and on the wall clock: over at that very millisecond. */
  hardMs = Number.NEGATIVE_INFINITY;
  hardWallMs = Number.NEGATIVE_INFINITY;
  /** What `active` answers; undefined for a version alone, and when the active version was revoked. */
  active: HeldVersion | undefined = undefined;
  versions: HeldVersion[] = [];
  /** The name of the key source that granted it. */
  source = "";

  fetch: Fetch | undefined = undefined;
  /** Renewals that failed in a row. */
  failures = 0;
  /** Renewed even when nobody uses it. */
  prewarmed = false;
  /** Leases on versions asked for alone, since this one lacked them; only in a lease on a whole service. */
  singleVersionLeases: Map<number, Lease> | undefined = undefined;

  /** When it was last used, to within a second, and its neighbours in that order. */
  usedMs = 0;
  newer: Lease | undefined = undefined;
  older: Lease | undefined = undefined;

  /** When something is to be done next: a renewal, or the end. */
  dueMs = 0;
  heapIndex = -1;

  constructor(tenant: string, service: string, version: number) {
    this.tenant = tenant;
    this.service = service;
    this.version = version;
  }

  get held(): boolean {
    return this.versions.length > 0;
  }

  find(version: number): HeldVersion | undefined {
    const { versions } = this;
    for (let index = 0; index < versions.length; index++) {
      const held = versions[index]!;
      if (held.version === version) return held;
    }
    return undefined;
  }

  /** Wipes one version; true if it was held. */
  wipeVersion(version: number): boolean {
    const held = this.find(version);
    if (held === undefined) return false;
    held.wipe();
    this.versions = this.versions.filter((other) => other !== held);
    if (this.active === held) this.active = undefined;
    return true;
  }

  /** Wipes every key, now. Returns how many. */
  wipe(): number {
    const { versions } = this;
    for (const held of versions) held.wipe();
    this.versions = [];
    this.active = undefined;
    return versions.length;
  }
}

/** For events and logs. */
export function leaseName(lease: Lease): { tenant: string; service: string; version: number | undefined } {
  const { tenant, service, version } = lease;
  return { tenant, service, version: version === WHOLE_SERVICE ? undefined : version };
}
