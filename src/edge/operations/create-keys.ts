/** Makes data keys and wraps them under a lease that is held. */
import { beginSlice, TURN_KEYS, yieldToEventLoop } from "../../base/time/turns.ts";
import { wipe } from "../../base/wipe.ts";
import type { LeaseCache, LeasedVersion } from "../cache/lease-cache.ts";
import type { CreatedKey, CreateKeyRequest, DataKeyLength, MaybePromise } from "./operations.ts";

const LENGTH_DEFAULT: DataKeyLength = 32;

export function makeKey(leased: LeasedVersion, request: CreateKeyRequest, context: Uint8Array): CreatedKey {
  const length = request.length ?? LENGTH_DEFAULT;
  const plaintext = request.plaintext === true ? new Uint8Array(length) : undefined;
  return { wrapped: leased.session.createKey(length, context, plaintext), version: leased.version, plaintext };
}

/** `count` keys, a long batch in slices. All are under the version of the first, and none is given when its lease ends before the last. */
export function makeInSlices(
  leases: LeaseCache,
  first: LeasedVersion,
  request: CreateKeyRequest,
  context: Uint8Array,
  count: number,
): MaybePromise<CreatedKey[]> {
  if (count > TURN_KEYS) return makeSlices(leases, first, request, context, count);
  const keys = new Array<CreatedKey>(count);
  for (let index = 0; index < count; index++) keys[index] = makeKey(first, request, context);
  return keys;
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
      const isOver = beginSlice();
      do keys.push(makeKey(leased, request, context));
      while (keys.length < count && !isOver());
      if (keys.length === count) return keys;
      await yieldToEventLoop();
    }
  } catch (error) {
    for (const { plaintext } of keys) if (plaintext !== undefined) wipe(plaintext);
    throw error;
  }
}
