import type { OperationError } from "../../base/errors.ts";
import type { RevocationScope } from "./lease-cache.ts";

interface Refusal {
  readonly scope: Required<RevocationScope>;
  readonly error: OperationError;
  readonly untilMs: number;
}

/**
 * The source's authoritative refusals, remembered for a moment, so that asking again and again for a key that is not
 * there stays in this process. Bounded: the oldest goes.
 */
export class Refusals {
  readonly #max: number;
  readonly #byName = new Map<string, Refusal>();

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#byName.size;
  }

  find(tenant: string, service: string, version: number, nowMs: number): OperationError | undefined {
    const name = nameOf(tenant, service, version);
    const refusal = this.#byName.get(name);
    if (refusal === undefined) return undefined;
    if (nowMs < refusal.untilMs) return refusal.error;
    this.#byName.delete(name);
    return undefined;
  }

  add(tenant: string, service: string, version: number, error: OperationError, untilMs: number): void {
    const name = nameOf(tenant, service, version);
    this.#byName.delete(name);
    if (this.#byName.size >= this.#max) this.#byName.delete(this.#byName.keys().next().value!);
    this.#byName.set(name, { scope: { tenant, service, version }, error, untilMs });
  }

  /** Forgets what lies in the scope. */
  forget(scope: RevocationScope): void {
    for (const [name, refusal] of this.#byName) {
      if (refusal.scope.tenant !== scope.tenant) continue;
      if (scope.service !== undefined && refusal.scope.service !== scope.service) continue;
      this.#byName.delete(name);
    }
  }

  clear(): void {
    this.#byName.clear();
  }
}

/** No name holds a slash (names.ts), so this is unambiguous. */
function nameOf(tenant: string, service: string, version: number): string {
  return `${tenant}/${service}/${version}`;
}
