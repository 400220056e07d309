/** Makes data keys and wraps them under a lease that is held. */
import { beginSlice, yieldToEventLoop } from "../../base/time/turns.ts";
import { wipe } from "../../base/wipe.ts";
import type { LeaseCache, LeasedVersion } from "../cache/lease-cache.ts";
import type { CreatedKey, CreateKeyRequest, DataKeyLength, MaybePromise } from "./operations.ts";

const LENGTH_DEFAULT: DataKeyLength = 32;

export function makeKey(leased: LeasedVersion, request: CreateKeyRequest, context: Uint8Array): CreatedKey {
  const length = request.length ?? LENGTH_DEFAULT;
  const plaintext = request.plaintext === true ? new Uint8Array(length) : undefined;
  return { wrapped: leased.session.createKey(length, context, plaintext), version: leased.version, plaintext };
}

/** `count` keys, at once where a slice makes them all. All are under the version of the first, and none is given when its lease ends before the last. */
export function makeInSlices(
  leases: LeaseCache,
  first: LeasedVersion,
  request: CreateKeyRequest,
  context: Uint8Array,
  count: number,
): MaybePromise<CreatedKey[]> {
  const keys: CreatedKey[] = [];
  try {
    makeSlice(first, request, context, count, keys);
  } catch (error) {
    discardAll(keys);
    throw error;
  }
  return keys.length === count ? keys : makeRest(leases, first.version, request, context, count, keys);
}

async function makeRest(
  leases: LeaseCache,
  version: number,
  request: CreateKeyRequest,
  context: Uint8Array,
  count: number,
  keys: CreatedKey[],
): Promise<CreatedKey[]> {
  try {
    while (keys.length < count) {
      await yieldToEventLoop();
      makeSlice(await leases.version(request.tenant, request.service, version), request, context, count, keys);
    }
    return keys;
  } catch (error) {
    discardAll(keys);
    throw error;
  }
}

/** Adds keys until there are `count`, or the slice is over. */
function makeSlice(
  leased: LeasedVersion,
  request: CreateKeyRequest,
  context: Uint8Array,
  count: number,
  keys: CreatedKey[],
): void {
  const isOver = beginSlice();
  do keys.push(makeKey(leased, request, context));
  while (keys.length < count && !isOver());
}

function discardAll(keys: readonly CreatedKey[]): void {
  for (const { plaintext } of keys) if (plaintext !== undefined) wipe(plaintext);
}
