/** What the guard does to leases, told on to callers that keep data keys (`GET /v1/revocations`), each of what it may use. */
import { OperationError } from "../base/errors.ts";
import type { Policy } from "./access/policy.ts";
import type { Principal } from "./access/principal.ts";
import type { LeaseControl, RevocationScope } from "./cache/lease-cache.ts";
import type { RevocationChange, RevocationFeed, RevokedScope } from "./doors/native/revocations.ts";
import type { Caller } from "./operations/operations.ts";

interface Watcher {
  readonly principal: Principal;
  readonly tell: (change: RevocationChange) => void;
}

export class RevocationBroadcast implements RevocationFeed {
  readonly #access: Policy;
  readonly #blocked: () => readonly RevocationScope[];
  readonly #watchers = new Set<Watcher>();

  constructor(access: Policy, blocked: () => readonly RevocationScope[]) {
    this.#access = access;
    this.#blocked = blocked;
  }

  blocked({ principal }: Caller): readonly RevocationScope[] {
    return this.#blocked().filter((scope) => this.#concerns(principal, scope));
  }

  watch({ principal }: Caller, tell: Watcher["tell"]): () => void {
    const watcher = { principal, tell };
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  /** How many callers listen. */
  get watchers(): number {
    return this.#watchers.size;
  }

  /** The edge begins to hear: of what came before, since its start, nobody here was told. */
  began(): void {
    this.#tell({ type: "change" });
  }

  /** The leases as the guard cuts them short, watched. */
  watched(control: LeaseControl): LeaseControl {
    return {
      revoke: (scope) => {
        const wiped = control.revoke(scope);
        this.#tell(changeOf("revoke", scope));
        return wiped;
      },
      forget: (scope) => {
        control.forget(scope);
        this.#tell(changeOf("change", scope));
      },
      dropAll: (reason) => {
        control.dropAll(reason);
        this.#tell({ type: "change" });
      },
      renew: (tenant, service) => {
        control.renew(tenant, service);
        this.#tell({ type: "change", tenant, service });
      },
      renewAll: () => control.renewAll(),
    };
  }

  #tell(change: RevocationChange): void {
    for (const { principal, tell } of this.#watchers) if (this.#concerns(principal, change)) tell(change);
  }

  #concerns(principal: Principal, { tenant, service }: Partial<RevokedScope>): boolean {
    if (tenant === undefined) return true;
    if (service === undefined) return this.#access.mayUseTenant(principal, tenant);
    try {
      this.#access.authorizeAny(principal, tenant, service);
      return true;
    } catch (error) {
      if (error instanceof OperationError) return false;
      throw error;
    }
  }
}

/** The scope alone, without the event around it. */
function changeOf(type: RevocationChange["type"], { tenant, service, version }: RevocationScope): RevocationChange {
  return { type, tenant, service, version };
}
