/** One rule of the policy, and which of several decides. */
import type { Rate } from "../../base/time/token-bucket.ts";
import type { Operation } from "./access-policy.ts";
import { compileGlobs, type Matcher } from "./glob.ts";

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

/** A rule whose patterns are compiled. */
export interface RuleMatchers {
  readonly index: number;
  readonly rule: PolicyRule;
  readonly deny: boolean;
  readonly principal: Matcher;
  readonly tenant: Matcher;
  readonly service: Matcher;
}

export function matchersOf(rule: PolicyRule, index: number): RuleMatchers {
  return {
    index,
    rule,
    deny: rule.effect === "deny",
    principal: compileGlobs(rule.principals),
    tenant: compileGlobs(rule.tenants),
    service: compileGlobs(rule.services),
  };
}

/** The rule that decides: the first that denies, else the first that allows. */
export function decidingRule<Rule extends RuleMatchers>(
  rules: readonly Rule[],
  operation: Operation,
  tenant: string,
  service: string,
): Rule | undefined {
  let allowing: Rule | undefined;
  for (const rule of rules) {
    if (!rule.rule.operations.includes(operation) || !rule.tenant(tenant) || !rule.service(service)) continue;
    if (rule.deny) return rule;
    allowing ??= rule;
  }
  return allowing;
}
