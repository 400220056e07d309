/** Says in sentences why the policy decides as it does, for `access explain`. */
import type { Operation } from "./access-policy.ts";
import { decidingRule, matchersOf, type PolicyRule, type RuleMatchers } from "./policy-rule.ts";
import type { Principal } from "./principal.ts";
import { principalId } from "./principal-id.ts";

/** Which rule decides, and why. */
export interface Explanation {
  readonly allowed: boolean;
  /** The deciding rule's place in the list; undefined where no rule speaks for the call. */
  readonly ruleIndex: number | undefined;
  readonly rule: PolicyRule | undefined;
  /** Sentences for a person. */
  readonly reasons: readonly string[];
}

/** Which rule decides, and why. Takes nothing from any rate limit. */
export function explainDecision(
  policies: readonly PolicyRule[],
  principal: Principal,
  operation: Operation,
  tenant: string,
  service: string,
): Explanation {
  const id = principalId(principal);
  const rules = policies.map(matchersOf).filter((rule) => rule.principal(id));
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

function nameOf({ index, rule }: RuleMatchers): string {
  return rule.name === undefined ? `policies[${index}]` : `policies[${index}] ("${rule.name}")`;
}

function limitsOf({ rule }: RuleMatchers): string[] {
  return [
    ...(rule.principalRate ? [`each principal may have ${rule.principalRate.perSecond} keys a second by it`] : []),
    ...(rule.tenantRate ? [`each tenant may have ${rule.tenantRate.perSecond} keys a second by it`] : []),
  ];
}
