/**
 * The policy: rules from the configuration, compiled once. Nothing is allowed that no rule allows; a rule with
 * `effect: deny` wins over every rule that allows, whatever their order.
 *
 * A decision depends on the four names alone and on nothing that the Core knows, so a denied caller can't tell an existing
 * tenant from another. It is made once for each principal, tenant and service and remembered; a caller that makes names up
 * makes only its own memory forgetful.
 */

import { CryptoEdgeError } from "../../base/errors.ts";
import type { Clock } from "../../base/time/clock.ts";
import { type Rate, type TokenBucket, TokenBuckets } from "../../base/time/token-bucket.ts";
import { othersTurn } from "../../base/time/turns.ts";
import { type AccessPolicy, OPERATIONS, type Operation } from "./access-policy.ts";
import { compileGlobs, type Matcher } from "./glob.ts";
import type { Principal } from "./principal.ts";
import { hasKindPrefix, principalId } from "./principal-id.ts";

/** One entry of `policies:`. All lists hold patterns in which `*` stands for any characters. */
export interface PolicyRule {
  /** For people: shown by `access explain`. */
  readonly name?: string | undefined;
  /** By default `allow`. */
  readonly effect?: "allow" | "deny" | undefined;
  /** As `principalId` writes them. */
  readonly principals: readonly string[];
  readonly tenants: readonly string[];
  readonly services: readonly string[];
  readonly operations: readonly Operation[];
  /** How long callers may keep plaintexts that they get by this rule; undefined: as long as the edge may. */
  readonly cacheSeconds?: number | undefined;
  /** How many keys each principal may have made or opened under this rule. */
  readonly principalRate?: Rate | undefined;
  /** How many keys all principals together may have made or opened for each tenant under this rule. */
  readonly tenantRate?: Rate | undefined;
}

/** Which rule decides, and why. */
export interface Explanation {
  readonly allowed: boolean;
  /** The deciding rule's place in the list; undefined where no rule speaks for the call. */
  readonly ruleIndex: number | undefined;
  readonly rule: PolicyRule | undefined;
  /** Sentences for a person. */
  readonly reasons: readonly string[];
}

/** Decisions that one principal's memory holds before it starts anew. */
const DECISIONS_PER_PRINCIPAL_MAX = 2_048;
/** Decisions that all memories hold together. */
const DECISIONS_MAX = 100_000;
/** Principals with a memory. */
const PRINCIPALS_MAX = 10_000;
const BUCKETS_MAX = 100_000;
/** Compiled in about a millisecond. */
const RULES_PER_SLICE = 200;

interface CompiledRule {
  readonly index: number;
  readonly rule: PolicyRule;
  readonly deny: boolean;
  readonly principal: Matcher;
  readonly tenant: Matcher;
  readonly service: Matcher;
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
      if (compiled.length % RULES_PER_SLICE === 0) await othersTurn();
    }
    this.#take(compiled);
  }

  #take(rules: readonly CompiledRule[]): void {
    this.#forgetPrincipals();
    this.#rules = rules;
  }

  #compile(rule: PolicyRule, index: number): CompiledRule {
    const clock = this.#clock;
    return {
      index,
      rule,
      deny: rule.effect === "deny",
      principal: compileGlobs(rule.principals),
      tenant: compileGlobs(rule.tenants),
      service: compileGlobs(rule.services),
      principalBuckets: rule.principalRate && new TokenBuckets(rule.principalRate, clock, BUCKETS_MAX),
      tenantBuckets: rule.tenantRate && new TokenBuckets(rule.tenantRate, clock, BUCKETS_MAX),
    };
  }

  authorize(principal: Principal, operation: Operation, tenant: string, service: string, count = 1): void {
    const grant = this.#decisions(principal, tenant, service)[operation];
    if (grant === undefined) throw new CryptoEdgeError("access_denied", DENIED);
    if (grant.principalBucket !== undefined || grant.tenantBucket !== undefined) takeFrom(grant, count);
  }

  authorizeAny(principal: Principal, tenant: string, service: string): void {
    if (!this.#mayAny(principal, tenant, service)) throw new CryptoEdgeError("access_denied", DENIED);
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

  /** Which rule decides. Takes nothing from any rate limit. */
  explain(principal: Principal, operation: Operation, tenant: string, service: string): Explanation {
    const id = principalId(principal);
    const rules = this.#rules.filter((rule) => rule.principal(id));
    const deciding = decidingRule(rules, operation, tenant, service);
    const common = { ruleIndex: deciding?.index, rule: deciding?.rule };
    if (deciding !== undefined) {
      const reason = deciding.deny
        ? `${nameOf(deciding)} denies it; a rule that denies wins over every rule that allows`
        : `${nameOf(deciding)} is the first rule that allows it, and none denies it`;
      return { ...common, allowed: !deciding.deny, reasons: [reason, ...limitsOf(deciding)] };
    }
    if (rules.length === 0) return { ...common, allowed: false, reasons: [`no rule names the principal "${id}"`] };
    const reasons = rules
      .filter((rule) => !rule.deny)
      .map((rule) => {
        const missing = [
          ...(rule.tenant(tenant) ? [] : [`the tenant "${tenant}"`]),
          ...(rule.service(service) ? [] : [`the service "${service}"`]),
          ...(rule.rule.operations.includes(operation) ? [] : [`the operation "${operation}"`]),
        ];
        return `${nameOf(rule)} names the principal, but not ${missing.join(" nor ")}`;
      });
    return { ...common, allowed: false, reasons: ["no rule allows it", ...reasons] };
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

/** The rule that decides: the first that denies, else the first that allows. */
function decidingRule(
  rules: readonly CompiledRule[],
  operation: Operation,
  tenant: string,
  service: string,
): CompiledRule | undefined {
  let allowing: CompiledRule | undefined;
  for (const rule of rules) {
    if (!rule.rule.operations.includes(operation) || !rule.tenant(tenant) || !rule.service(service)) continue;
    if (rule.deny) return rule;
    allowing ??= rule;
  }
  return allowing;
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

function rateLimited(who: string, retryAfterMs: number): CryptoEdgeError {
  return new CryptoEdgeError(
    "rate_limited",
    `${who} has used up its rate. Ask again after the time in Retry-After, or ask whoever runs the edge for a higher rate.`,
    { retryAfterMs },
  );
}

function nameOf({ index, rule }: CompiledRule): string {
  return rule.name === undefined ? `policies[${index}]` : `policies[${index}] ("${rule.name}")`;
}

function limitsOf({ rule }: CompiledRule): string[] {
  return [
    ...(rule.principalRate ? [`each principal may have ${rule.principalRate.perSecond} keys a second by it`] : []),
    ...(rule.tenantRate ? [`each tenant may have ${rule.tenantRate.perSecond} keys a second by it`] : []),
  ];
}

/** A mistake in a rule that the schema can't see, by the key it is in. */
export interface PolicyProblem {
  readonly ruleIndex: number;
  readonly key: "principals" | "tenants" | "services" | "rate_limit";
  readonly message: string;
}

/** Characters of tenants and services (`src/base/names.ts`), and the star. */
const NAME_GLOB = /^[A-Za-z0-9*][A-Za-z0-9._:*-]{0,255}$/;

/** What can't be meant: patterns that match nothing, and principals that no listener gives. */
export function checkPolicies(rules: readonly PolicyRule[], listenerPrincipals: readonly string[]): PolicyProblem[] {
  const problems: PolicyProblem[] = [];
  rules.forEach((rule, ruleIndex) => {
    for (const key of ["tenants", "services"] as const) {
      for (const pattern of rule[key]) {
        if (NAME_GLOB.test(pattern)) continue;
        problems.push({
          ruleIndex,
          key,
          message: `"${pattern}" matches no name: names have letters, digits and . _ : - (a letter or digit first), patterns also *`,
        });
      }
    }
    for (const pattern of rule.principals) {
      const message = principalProblem(pattern, listenerPrincipals);
      if (message !== undefined) problems.push({ ruleIndex, key: "principals", message });
    }
    if (rule.effect === "deny" && (rule.principalRate ?? rule.tenantRate) !== undefined) {
      problems.push({ ruleIndex, key: "rate_limit", message: "a rule that denies has no rate: remove it here" });
    }
  });
  return problems;
}

function principalProblem(pattern: string, listenerPrincipals: readonly string[]): string | undefined {
  if (pattern === "") return "an empty principal matches no one: remove it";
  if (/[^\x21-\x7e]/.test(pattern) && !pattern.startsWith("cn:")) {
    return `"${pattern}" matches no one: a principal has no spaces or control characters`;
  }
  if (pattern.includes("*") || hasKindPrefix(pattern)) return undefined;
  if (listenerPrincipals.includes(pattern)) return undefined;
  const known = listenerPrincipals.length === 0 ? "none is named" : `named are ${listenerPrincipals.join(", ")}`;
  return (
    `no listener names its callers "${pattern}" (${known}); a certificate's or token's name is written ` +
    "spiffe://…, dns:…, cn:… or token:…"
  );
}
