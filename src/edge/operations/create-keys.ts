/** Makes data keys and wraps them under a lease that is held. */
import { othersTurn } from "../../base/time/turns.ts";
import { allocateSecret, wipe } from "../../base/wipe.ts";
import type { LeaseCache, LeasedVersion } from "../cache/lease-cache.ts";
import type { CreatedKey, CreateKeyRequest, DataKeyLength, MaybePromise } from "./operations.ts";
import { SLICE_ITEMS } from "./slices.ts";
import { SUITE_DATA_KEY, sessionOf } from "./suites.ts";

const LENGTH_DEFAULT: DataKeyLength = 32;

export function makeKey(leased: LeasedVersion, request: CreateKeyRequest, context: Uint8Array): CreatedKey {
  const dataKey = new Uint8Array(request.length ?? LENGTH_DEFAULT);
  crypto.getRandomValues(dataKey);
  const wrapped = sessionOf(leased, SUITE_DATA_KEY).wrap(dataKey, context);
  if (request.plaintext === true) return { wrapped, version: leased.version, plaintext: dataKey };
  wipe(dataKey);
  return { wrapped, version: leased.version, plaintext: undefined };
}

/** `count` keys, a long batch in slices. All are under the version of the first, and none is given when its lease ends before the last. */
export function makeInSlices(
  leases: LeaseCache,
  first: LeasedVersion,
  request: CreateKeyRequest,
  context: Uint8Array,
  count: number,
): MaybePromise<CreatedKey[]> {
  if (count <= SLICE_ITEMS) return makeKeys(first, request, context, count);
  return makeSlices(leases, first, request, context, count);
}

async function makeSlices(
  leases: LeaseCache,
  first: LeasedVersion,
  request: CreateKeyRequest,
  context: Uint8Array,
  count: number,
): Promise<CreatedKey[]> {
  const { version } = first;
  const keys: CreatedKey[] = [];
  try {
    for (let leased = first; ; leased = await leases.version(request.tenant, request.service, version)) {
      keys.push(...makeKeys(leased, request, context, Math.min(SLICE_ITEMS, count - keys.length)));
      if (keys.length === count) return keys;
      await othersTurn();
    }
  } catch (error) {
    for (const { plaintext } of keys) if (plaintext !== undefined) wipe(plaintext);
    throw error;
  }
}

function makeKeys(leased: LeasedVersion, request: CreateKeyRequest, context: Uint8Array, count: number): CreatedKey[] {
  if (request.plaintext === true) return Array.from({ length: count }, () => makeKey(leased, request, context));
  // Wrapped keys alone: one buffer serves all the data keys in turn.
  const dataKey = allocateSecret(request.length ?? LENGTH_DEFAULT);
  const session = sessionOf(leased, SUITE_DATA_KEY);
  const keys = new Array<CreatedKey>(count);
  try {
    for (let index = 0; index < count; index++) {
      crypto.getRandomValues(dataKey);
      keys[index] = { wrapped: session.wrap(dataKey, context), version: leased.version, plaintext: undefined };
    }
  } finally {
    wipe(dataKey);
  }
  return keys;
}
