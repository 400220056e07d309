/**
 * The policy: rules from the configuration, compiled once. Nothing is allowed that no rule allows; a rule with
 * `effect: deny` wins over every rule that allows, whatever their order.
 *
 * A decision depends on the four names alone and on nothing that the Core knows, so a denied caller can't tell an existing
 * tenant from another. It is made once for each principal, tenant and service and remembered; a caller that makes names up
 * makes only its own memory forgetful.
 */
import { OperationError } from "../../base/errors.ts";
import type { Clock } from "../../base/time/clock.ts";
import { type Rate, type TokenBucket, TokenBuckets } from "../../base/time/token-bucket.ts";
import { yieldToEventLoop } from "../../base/time/turns.ts";
import { type AccessPolicy, OPERATIONS, type Operation } from "./access-policy.ts";
import { decidingRule, matchersOf, type PolicyRule, type RuleMatchers } from "./policy-rule.ts";
import type { Principal } from "./principal.ts";
import { principalId } from "./principal-id.ts";

/** Decisions that one principal's memory holds before it starts anew. */
const DECISIONS_PER_PRINCIPAL_MAX = 2_048;
/** Decisions that all memories hold together. */
const DECISIONS_MAX = 100_000;
/** Principals with a memory. */
const PRINCIPALS_MAX = 10_000;
/** Compiled in about a millisecond. */
const RULES_PER_SLICE = 200;

/** Principals, and tenants, whose rates one rule counts apart. */
const BUCKETS_MAX = 100_000;

interface CompiledRule extends RuleMatchers {
  readonly principalBuckets: TokenBuckets | undefined;
  readonly tenantBuckets: TokenBuckets | undefined;
}

/** A finished decision on one operation. `undefined` in its place says no. */
interface Grant {
  readonly principalBucket: TokenBucket | undefined;
  readonly tenantBucket: TokenBucket | undefined;
}

type Decisions = Readonly<Record<Operation, Grant | undefined>> & {
  /** The least of the rules that allow something here. */
  readonly cacheSeconds: number;
};

/** The rules that speak of one principal, and what was decided by them. */
interface View {
  readonly id: string;
  readonly rules: readonly CompiledRule[];
  readonly byTenant: Map<string, Map<string, Decisions>>;
  count: number;
}

/** Refused calls are all alike: one object's worth of text, whatever was asked for. */
const DENIED = "This principal may not do this. Ask whoever runs the edge for a policy that allows it.";

export class Policy implements AccessPolicy {
  readonly #clock: Clock;
  #rules: readonly CompiledRule[] = [];
  /** By the object: a listener's or a connection's principal is one object for all its calls. */
  #viewOf = new WeakMap<Principal, View>();
  /** By `principalId`, so that connections of the same principal share what was decided. */
  readonly #views = new Map<string, View>();
  #remembered = 0;

  constructor(rules: readonly PolicyRule[], clock: Clock) {
    this.#clock = clock;
    this.replace(rules);
  }

  /** The rules from now on, in whole: no call sees half of them. Rate limits start afresh. */
  replace(rules: readonly PolicyRule[]): void {
    this.#take(rules.map((rule, index) => this.#compile(rule, index)));
  }

  /** As `replace`, and compiles many rules in slices, so that requests are answered meanwhile. They count once all are compiled. */
  async replaceInSlices(rules: readonly PolicyRule[]): Promise<void> {
    const compiled: CompiledRule[] = [];
    for (const rule of rules) {
      compiled.push(this.#compile(rule, compiled.length));
      if (compiled.length % RULES_PER_SLICE === 0) await yieldToEventLoop();
    }
    this.#take(compiled);
  }

  #take(rules: readonly CompiledRule[]): void {
    this.#forgetPrincipals();
    this.#rules = rules;
  }

  #compile(rule: PolicyRule, index: number): CompiledRule {
    const buckets = (rate: Rate | undefined) => rate && new TokenBuckets(rate, this.#clock, BUCKETS_MAX);
    return {
      ...matchersOf(rule, index),
      principalBuckets: buckets(rule.principalRate),
      tenantBuckets: buckets(rule.tenantRate),
    };
  }

  authorize(principal: Principal, operation: Operation, tenant: string, service: string, count = 1): void {
    const grant = this.#decisions(principal, tenant, service)[operation];
    if (grant === undefined) throw new OperationError("access_denied", DENIED);
    if (grant.principalBucket !== undefined || grant.tenantBucket !== undefined) takeFrom(grant, count);
  }

  authorizeAny(principal: Principal, tenant: string, service: string): void {
    if (!this.#mayAny(principal, tenant, service)) throw new OperationError("access_denied", DENIED);
  }

  namedServices(principal: Principal, tenant: string): string[] {
    const view = this.#viewOf.get(principal) ?? this.#viewFor(principal);
    const named = view.rules.filter((rule) => !rule.deny && rule.tenant(tenant)).flatMap(({ rule }) => rule.services);
    const literal = new Set(named.filter((service) => !service.includes("*")));
    return [...literal].filter((service) => this.#mayAny(principal, tenant, service)).sort();
  }

  #mayAny(principal: Principal, tenant: string, service: string): boolean {
    const decisions = this.#decisions(principal, tenant, service);
    return OPERATIONS.some((operation) => decisions[operation] !== undefined);
  }

  /** How long this principal may keep plaintexts of this service key, in seconds; infinity where no rule says so. */
  cacheSeconds(principal: Principal, tenant: string, service: string): number {
    return this.#decisions(principal, tenant, service).cacheSeconds;
  }

  /** Whether a rule allows this principal anything at all of this tenant's: what concerns the tenant concerns it. */
  mayUseTenant(principal: Principal, tenant: string): boolean {
    const view = this.#viewOf.get(principal) ?? this.#viewFor(principal);
    return view.rules.some((rule) => !rule.deny && rule.tenant(tenant));
  }

  #decisions(principal: Principal, tenant: string, service: string): Decisions {
    const view = this.#viewOf.get(principal) ?? this.#viewFor(principal);
    return view.byTenant.get(tenant)?.get(service) ?? this.#decide(view, tenant, service);
  }

  /** How many decisions are remembered: for a test that it is bounded. */
  get remembered(): number {
    return this.#remembered;
  }

  #viewFor(principal: Principal): View {
    const id = principalId(principal);
    let view = this.#views.get(id);
    if (view === undefined) {
      if (this.#views.size >= PRINCIPALS_MAX) this.#forgetPrincipals();
      view = { id, rules: this.#rules.filter((rule) => rule.principal(id)), byTenant: new Map(), count: 0 };
      this.#views.set(id, view);
    }
    this.#viewOf.set(principal, view);
    return view;
  }

  #decide(view: View, tenant: string, service: string): Decisions {
    let cacheSeconds = Number.POSITIVE_INFINITY;
    const grant = (operation: Operation): Grant | undefined => {
      const rule = decidingRule(view.rules, operation, tenant, service);
      if (rule === undefined || rule.deny) return undefined;
      cacheSeconds = Math.min(cacheSeconds, rule.rule.cacheSeconds ?? Number.POSITIVE_INFINITY);
      return { principalBucket: rule.principalBuckets?.get(view.id), tenantBucket: rule.tenantBuckets?.get(tenant) };
    };
    const grants = {
      create: grant("create"),
      decrypt: grant("decrypt"),
      rewrap: grant("rewrap"),
      encrypt: grant("encrypt"),
    };
    const decisions: Decisions = { ...grants, cacheSeconds };
    if (view.count >= DECISIONS_PER_PRINCIPAL_MAX) this.#forget(view);
    if (this.#remembered >= DECISIONS_MAX) for (const each of this.#views.values()) this.#forget(each);
    let byService = view.byTenant.get(tenant);
    if (byService === undefined) {
      byService = new Map();
      view.byTenant.set(tenant, byService);
    }
    byService.set(service, decisions);
    view.count++;
    this.#remembered++;
    return decisions;
  }

  #forget(view: View): void {
    this.#remembered -= view.count;
    view.byTenant.clear();
    view.count = 0;
  }

  /** Rate limits are kept: their buckets belong to the rules. */
  #forgetPrincipals(): void {
    for (const view of this.#views.values()) this.#forget(view);
    this.#views.clear();
    this.#viewOf = new WeakMap();
  }
}

function takeFrom({ principalBucket, tenantBucket }: Grant, count: number): void {
  const principalWaitMs = principalBucket?.take(count) ?? 0;
  if (principalWaitMs > 0) throw rateLimited("This principal", principalWaitMs);
  const tenantWaitMs = tenantBucket?.take(count) ?? 0;
  if (tenantWaitMs > 0) {
    principalBucket?.giveBack(count);
    throw rateLimited("This tenant", tenantWaitMs);
  }
}

function rateLimited(who: string, retryAfterMs: number): OperationError {
  return new OperationError(
    "rate_limited",
    `${who} has used up its rate. Ask again after the time in Retry-After, or ask whoever runs the edge for a higher rate.`,
    { retryAfterMs },
  );
}
