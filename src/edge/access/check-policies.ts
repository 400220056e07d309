/** What a schema can't see in policies: patterns that match nothing, principals that no listener gives. Asked once, when a configuration is read. */
import type { PolicyRule } from "./policy-rule.ts";
import { hasKindPrefix } from "./principal-id.ts";

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
