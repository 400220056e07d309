/** Makes data keys and wraps them under a lease that is held. */
import { beginSlice, yieldToEventLoop } from "../../base/time/turns.ts";
import type { LeaseCache, LeasedVersion } from "../cache/lease-cache.ts";
import type {
  CreatedKey,
  CreatedKeys,
  CreateKeyRequest,
  CreateKeysRequest,
  DataKeyLength,
  MaybePromise,
} from "./operations.ts";

const LENGTH_DEFAULT: DataKeyLength = 32;

export function makeKey(leased: LeasedVersion, request: CreateKeyRequest, context: Uint8Array): CreatedKey {
  const length = request.length ?? LENGTH_DEFAULT;
  const plaintext = request.plaintext === true ? new Uint8Array(length) : undefined;
  return { wrapped: leased.session.createKey(length, context, plaintext), version: leased.version, plaintext };
}

/** `count` keys, at once where a slice makes them all, all under the version of the first. Throws where its lease ends before the last. */
export function makeInSlices(
  leases: LeaseCache,
  first: LeasedVersion,
  request: CreateKeysRequest,
  context: Uint8Array,
  count: number,
): MaybePromise<CreatedKeys> {
  const made = makeSlice(first, request, context, count);
  return made === count ? { version: first.version } : makeRest(leases, first.version, request, context, count - made);
}

async function makeRest(
  leases: LeaseCache,
  version: number,
  request: CreateKeysRequest,
  context: Uint8Array,
  count: number,
): Promise<CreatedKeys> {
  for (let left = count; left > 0; ) {
    await yieldToEventLoop();
    left -= makeSlice(await leases.version(request.tenant, request.service, version), request, context, left);
  }
  return { version };
}

/** Makes keys until there are `count`, or the slice is over. Answers how many. */
function makeSlice(
  { session, version }: LeasedVersion,
  request: CreateKeysRequest,
  context: Uint8Array,
  count: number,
): number {
  const { length = LENGTH_DEFAULT, plaintext = false, take } = request;
  const takeSealed = (wrapped: Uint8Array, dataKey: Uint8Array | undefined): void => take(wrapped, dataKey, version);
  const isOver = beginSlice();
  let made = 0;
  do {
    session.createKeyTo(length, context, plaintext, takeSealed);
    made++;
  } while (made < count && !isOver());
  return made;
}
