import { type Module, token } from "../../base/module.ts";
import { CLOCK } from "../../base/time/clock.ts";
import { Policy } from "./policy.ts";
import type { PolicyRule } from "./policy-rule.ts";

export const ACCESS_POLICY = token<Policy>("AccessPolicy");
export const ACCESS_RULES = token<readonly PolicyRule[]>("AccessRules");

export const accessModule: Module<Policy> = {
  token: ACCESS_POLICY,
  make: (get) => new Policy(get(ACCESS_RULES), get(CLOCK)),
};
