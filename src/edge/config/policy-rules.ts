import type { PolicyRule } from "../access/policy-rule.ts";
import type { PolicyConfiguration } from "./policy-section.ts";

/** The section `policies:` as the policy's rules, in its order. */
export function policyRules(policies: readonly PolicyConfiguration[]): PolicyRule[] {
  return policies.map(({ rate_limit, cache_seconds, ...rule }) => ({
    ...rule,
    cacheSeconds: cache_seconds,
    principalRate: rate_limit?.per_principal === undefined ? undefined : { perSecond: rate_limit.per_principal },
    tenantRate: rate_limit?.per_tenant === undefined ? undefined : { perSecond: rate_limit.per_tenant },
  }));
}
