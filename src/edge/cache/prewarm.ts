/** Leases that are wanted before anybody asks: `cache.prewarm` of the configuration. */
import type { OperationError } from "../../base/errors.ts";
import { type Backoff, backoffMs } from "../../base/time/backoff.ts";
import { type Clock, sleep } from "../../base/time/clock.ts";
import { asOperationError } from "./lease-errors.ts";
import type { LeaseFetches } from "./lease-fetches.ts";
import type { LeaseTable } from "./lease-table.ts";

export interface ServiceName {
  readonly tenant: string;
  readonly service: string;
}

export interface RefusedPrewarm extends ServiceName {
  readonly error: OperationError;
}

export interface PrewarmOptions {
  readonly table: LeaseTable;
  readonly fetches: LeaseFetches;
  readonly clock: Clock;
  readonly backoff: Backoff;
  readonly random: () => number;
  readonly closing: AbortSignal;
}

/** Asks for each until it is held or refused for good. Resolves with what was refused; never rejects. */
export async function prewarm(keys: readonly ServiceName[], options: PrewarmOptions): Promise<RefusedPrewarm[]> {
  const { table, fetches, clock, backoff, random, closing } = options;
  const refused: RefusedPrewarm[] = [];
  const warm = async ({ tenant, service }: ServiceName): Promise<void> => {
    for (let failures = 0; !closing.aborted; failures++) {
      const lease = table.onService(tenant, service);
      lease.prewarmed = true;
      if (lease.held) return;
      try {
        await fetches.fetch(lease, false).promise;
        return;
      } catch (error) {
        const failure = asOperationError(error);
        if (failure.code !== "lease_unavailable" && failure.code !== "rate_limited") {
          refused.push({ tenant, service, error: failure });
          return;
        }
        await sleep(clock, (failure.retryAfterMs ?? 0) + backoffMs(backoff, failures, random), closing);
      }
    }
  };
  await Promise.all(keys.map(warm));
  return refused;
}
