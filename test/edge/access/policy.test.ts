import { describe, expect, test } from "bun:test";
import { OperationError } from "../../../src/base/errors.ts";
import type { Operation } from "../../../src/edge/access/access-policy.ts";
import { checkPolicies } from "../../../src/edge/access/check-policies.ts";
import { explainDecision } from "../../../src/edge/access/explain-decision.ts";
import { Policy } from "../../../src/edge/access/policy.ts";
import type { PolicyRule } from "../../../src/edge/access/policy-rule.ts";
import type { Principal } from "../../../src/edge/access/principal.ts";
import { parsePrincipalId, principalId } from "../../../src/edge/access/principal-id.ts";
import { fc } from "../../support/properties.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const local: Principal = { kind: "listener", name: "local" };
const billing: Principal = { kind: "spiffe", name: "spiffe://example.org/billing/api" };

const rule = (changes: Partial<PolicyRule> = {}): PolicyRule => ({
  principals: ["local", "spiffe://example.org/billing/*"],
  tenants: ["tenant-*"],
  services: ["billing"],
  operations: ["create", "decrypt"],
  ...changes,
});

const policyOf = (...rules: PolicyRule[]): Policy => new Policy(rules, new VirtualClock());

function codeOf(run: () => void): string {
  try {
    run();
    return "ok";
  } catch (error) {
    if (error instanceof OperationError) return error.code;
    throw error;
  }
}

const ask = (policy: Policy, principal: Principal, operation: Operation, tenant: string, service: string): string =>
  codeOf(() => policy.authorize(principal, operation, tenant, service));

describe("a policy", () => {
  test("allows what a rule allows and nothing else", () => {
    const policy = policyOf(rule());
    expect(ask(policy, local, "create", "tenant-a", "billing")).toBe("ok");
    expect(ask(policy, billing, "decrypt", "tenant-b", "billing")).toBe("ok");
    expect(ask(policy, local, "rewrap", "tenant-a", "billing")).toBe("access_denied");
    expect(ask(policy, local, "create", "other", "billing")).toBe("access_denied");
    expect(ask(policy, local, "create", "tenant-a", "billing2")).toBe("access_denied");
    expect(ask(policy, { kind: "listener", name: "locals" }, "create", "tenant-a", "billing")).toBe("access_denied");
  });

  test("lets who may do anything with a key look at it, and nobody else; a look takes nothing of a rate", () => {
    const policy = policyOf(
      rule({ operations: ["encrypt"], principalRate: { perSecond: 1, burst: 1 } }),
      rule({ services: ["denied"] }),
      rule({ services: ["denied"], effect: "deny", operations: ["create", "decrypt", "rewrap", "encrypt"] }),
    );
    const look = (principal: Principal, tenant: string, service: string): string =>
      codeOf(() => policy.authorizeAny(principal, tenant, service));
    for (let looks = 0; looks < 5; looks++) expect(look(local, "tenant-a", "billing")).toBe("ok");
    expect(ask(policy, local, "encrypt", "tenant-a", "billing")).toBe("ok");
    expect(ask(policy, local, "encrypt", "tenant-a", "billing")).toBe("rate_limited");
    expect(ask(policy, local, "create", "tenant-a", "billing")).toBe("access_denied");
    expect(look(local, "tenant-a", "denied")).toBe("access_denied");
    expect(look(local, "other", "billing")).toBe("access_denied");
    expect(look({ kind: "listener", name: "else" }, "tenant-a", "billing")).toBe("access_denied");
  });

  test("names the services that it names literally and lets the principal use, and none that a pattern allows", () => {
    const policy = policyOf(
      rule({ services: ["billing", "pay*", "denied"] }),
      rule({ services: ["audit"], tenants: ["tenant-a"], operations: ["rewrap"] }),
      rule({ services: ["secret"], principals: ["another"] }),
      rule({ services: ["denied"], effect: "deny", operations: ["create", "decrypt", "rewrap", "encrypt"] }),
    );
    expect(policy.namedServices(local, "tenant-a")).toEqual(["audit", "billing"]);
    expect(policy.namedServices(local, "tenant-b")).toEqual(["billing"]);
    expect(policy.namedServices(local, "other")).toEqual([]);
  });

  test("names no service for what a rule that denies, or one of another tenant, says of it", () => {
    const policy = policyOf(
      rule({ services: ["*"], operations: ["create", "decrypt"] }),
      rule({ services: ["payroll"], tenants: ["another"] }),
      rule({ services: ["audit"], effect: "deny", operations: ["decrypt"] }),
    );
    for (const service of ["payroll", "audit"]) expect(ask(policy, local, "create", "tenant-a", service)).toBe("ok");
    expect(policy.namedServices(local, "tenant-a")).toEqual([]);
  });

  test("without rules allows nothing", () => {
    expect(ask(policyOf(), local, "create", "tenant-a", "billing")).toBe("access_denied");
  });

  test("lets a rule that denies win, whatever the order", () => {
    const deny = rule({ effect: "deny", tenants: ["tenant-b"], operations: ["decrypt"] });
    for (const policy of [policyOf(rule(), deny), policyOf(deny, rule())]) {
      expect(ask(policy, local, "decrypt", "tenant-b", "billing")).toBe("access_denied");
      expect(ask(policy, local, "create", "tenant-b", "billing")).toBe("ok");
      expect(ask(policy, local, "decrypt", "tenant-a", "billing")).toBe("ok");
    }
  });

  test("never takes one kind of principal for another", () => {
    const policy = policyOf(rule({ principals: ["local", "dns:app.example", "spiffe://example.org/billing/api"] }));
    for (const kind of ["dns", "common_name", "token"] as const) {
      expect(ask(policy, { kind, name: "local" }, "create", "tenant-a", "billing")).toBe("access_denied");
      expect(ask(policy, { kind, name: billing.name }, "create", "tenant-a", "billing")).toBe("access_denied");
    }
    expect(ask(policy, { kind: "common_name", name: "app.example" }, "create", "tenant-a", "billing")).toBe(
      "access_denied",
    );
    expect(ask(policy, { kind: "dns", name: "app.example" }, "create", "tenant-a", "billing")).toBe("ok");
  });

  test("can't be confused by tricky names", () => {
    const policy = policyOf(
      rule({ tenants: ["a"], services: ["b:c"] }),
      rule({ tenants: ["__proto__x", "constructor"] }),
    );
    expect(ask(policy, local, "create", "a", "b:c")).toBe("ok");
    expect(ask(policy, local, "create", "a:b", "c")).toBe("access_denied");
    expect(ask(policy, local, "create", "a.b", "c")).toBe("access_denied");
    expect(ask(policy, local, "create", "constructor", "billing")).toBe("ok");
    expect(ask(policy, local, "create", "toString", "billing")).toBe("access_denied");
    expect(ask(policy, local, "create", "hasOwnProperty", "constructor")).toBe("access_denied");
  });

  test("decides the same when it remembers as when it does not", () => {
    const name = fc.constantFrom("a", "b", "ab", "a-b", "tenant-a", "tenant-b");
    const pattern = fc.constantFrom("*", "a*", "*b", "a*b", "tenant-*", "a", "b", "*-*");
    const rules = fc.array(
      fc.record({
        effect: fc.constantFrom("allow" as const, "deny" as const),
        principals: fc.array(fc.constantFrom("local", "*", "spiffe://*"), { minLength: 1 }),
        tenants: fc.array(pattern, { minLength: 1 }),
        services: fc.array(pattern, { minLength: 1 }),
        operations: fc.subarray(["create", "decrypt", "rewrap"] as Operation[], { minLength: 1 }),
      }),
    );
    const matches = (patterns: readonly string[], text: string): boolean =>
      patterns.some((glob) => new RegExp(`^${glob.split("*").join(".*")}$`).test(text));
    fc.assert(
      fc.property(rules, fc.constantFrom(local, billing), name, name, (list, principal, tenant, service) => {
        const policy = policyOf(...list);
        for (const operation of ["create", "decrypt", "rewrap"] as const) {
          const speaking = list.filter(
            (each) =>
              matches(each.principals, principalId(principal)) &&
              matches(each.tenants, tenant) &&
              matches(each.services, service) &&
              each.operations.includes(operation),
          );
          const expected = speaking.length > 0 && speaking.every(({ effect }) => effect === "allow");
          for (let time = 0; time < 2; time++) {
            expect(ask(policy, principal, operation, tenant, service) === "ok").toBe(expected);
          }
          expect(explainDecision(list, principal, operation, tenant, service).allowed).toBe(expected);
        }
      }),
    );
  });

  test("gives a denied caller one answer, whatever it asked for", () => {
    const policy = policyOf(rule());
    const messages = new Set<string>();
    for (const tenant of ["other", "tenant-a", "nobody"]) {
      try {
        policy.authorize(local, "rewrap", tenant, "billing");
      } catch (error) {
        messages.add(JSON.stringify([(error as OperationError).code, (error as OperationError).message]));
      }
    }
    expect(messages.size).toBe(1);
    expect([...messages][0]).not.toContain("tenant-a");
  });

  test("remembers a bounded number of decisions, however many names are made up", () => {
    const policy = policyOf(rule({ tenants: ["*"] }));
    let most = 0;
    for (let index = 0; index < 50_000; index++) {
      ask(policy, local, "create", `made-up-${index}`, "billing");
      most = Math.max(most, policy.remembered);
    }
    expect(most).toBe(2_048);
    for (let caller = 0; caller < 300; caller++) {
      const principal: Principal = { kind: "spiffe", name: `spiffe://example.org/billing/${caller}` };
      for (let index = 0; index < 1_000; index++) {
        ask(policy, principal, "create", `made-up-${index}`, "billing");
        most = Math.max(most, policy.remembered);
      }
    }
    expect(most).toBe(100_000);
    expect(ask(policy, local, "create", "tenant-a", "billing")).toBe("ok");
  });

  test("remembers each decision once", () => {
    const policy = policyOf(rule({ services: ["*"] }));
    for (const service of ["billing", "mail", "billing", "mail"]) ask(policy, local, "create", "tenant-a", service);
    expect(policy.remembered).toBe(2);
  });

  test("remembers nothing of what it forgot, and counts what it remembers anew", () => {
    const policy = policyOf(rule({ tenants: ["*"] }));
    for (let index = 0; index <= 2_048; index++) ask(policy, local, "create", `made-up-${index}`, "billing");
    expect(policy.remembered).toBe(1);
    ask(policy, local, "create", "made-up-0", "billing");
    expect(policy.remembered).toBe(2);
    policy.replace([]);
    expect(policy.remembered).toBe(0);
  });

  test("remembers one decision for all connections of a principal", () => {
    const policy = policyOf(rule());
    for (let connection = 0; connection < 3; connection++) {
      ask(policy, { ...billing, peer: `127.0.0.${connection}` }, "create", "tenant-a", "billing");
    }
    expect(policy.remembered).toBe(1);
  });

  test("remembers a bounded number of principals, however many there are", () => {
    const policy = policyOf(rule({ principals: ["*"] }));
    for (let caller = 0; caller < 10_000; caller++) {
      ask(policy, { kind: "token", name: `caller-${caller}` }, "create", "tenant-a", "billing");
    }
    expect(policy.remembered).toBe(10_000);
    expect(ask(policy, local, "create", "tenant-a", "billing")).toBe("ok");
    expect(policy.remembered).toBe(1);
  });

  test("is replaced in whole, and old decisions go with it", () => {
    const policy = policyOf(rule());
    expect(ask(policy, local, "create", "tenant-a", "billing")).toBe("ok");
    policy.replace([rule({ tenants: ["tenant-b"] })]);
    expect(ask(policy, local, "create", "tenant-a", "billing")).toBe("access_denied");
    expect(ask(policy, local, "create", "tenant-b", "billing")).toBe("ok");
  });
});

describe("a rate limit", () => {
  test("holds each principal to its own rate, and says when to come back", async () => {
    const clock = new VirtualClock();
    const policy = new Policy([rule({ principalRate: { perSecond: 10, burst: 3 } })], clock);
    for (let time = 0; time < 3; time++) expect(ask(policy, local, "create", "tenant-a", "billing")).toBe("ok");
    expect(ask(policy, local, "create", "tenant-b", "billing")).toBe("rate_limited");
    expect(ask(policy, billing, "create", "tenant-a", "billing")).toBe("ok");
    const again: Principal = { ...local };
    expect(ask(policy, again, "create", "tenant-a", "billing")).toBe("rate_limited");
    try {
      policy.authorize(local, "create", "tenant-a", "billing");
    } catch (error) {
      expect((error as OperationError).retryAfterMs).toBe(100);
    }
    await clock.advance(100);
    expect(ask(policy, local, "create", "tenant-a", "billing")).toBe("ok");
    expect(ask(policy, local, "create", "tenant-a", "billing")).toBe("rate_limited");
  });

  test("holds all callers together to a tenant's rate, and takes nothing from a caller it turns away", () => {
    const policy = policyOf(rule({ principalRate: { perSecond: 4 }, tenantRate: { perSecond: 3 } }));
    expect(ask(policy, local, "create", "tenant-a", "billing")).toBe("ok");
    expect(ask(policy, local, "create", "tenant-a", "billing")).toBe("ok");
    expect(ask(policy, billing, "create", "tenant-a", "billing")).toBe("ok");
    expect(ask(policy, local, "create", "tenant-a", "billing")).toBe("rate_limited");
    expect(ask(policy, local, "create", "tenant-b", "billing")).toBe("ok");
    expect(ask(policy, local, "create", "tenant-b", "billing")).toBe("ok");
    expect(ask(policy, local, "create", "tenant-b", "billing")).toBe("rate_limited");
  });

  test("is counted for a hundred thousand principals at a time: the next one makes it forget the oldest", () => {
    const policy = policyOf(rule({ principals: ["*"], principalRate: { perSecond: 1, burst: 1 } }));
    const askAs = (caller: number) =>
      ask(policy, { kind: "token", name: `${caller}` }, "create", "tenant-a", "billing");
    for (let caller = 0; caller < 100_000; caller++) expect(askAs(caller)).toBe("ok");
    expect(askAs(0)).toBe("rate_limited");
    expect(askAs(100_000)).toBe("ok");
    expect(askAs(1)).toBe("ok");
  });

  test("of a thousand a second has waits of a millisecond, which are waits", () => {
    for (const rate of ["principalRate", "tenantRate"] as const) {
      const policy = policyOf(rule({ [rate]: { perSecond: 1_000, burst: 1 } }));
      expect(ask(policy, local, "create", "tenant-a", "billing")).toBe("ok");
      expect(ask(policy, local, "create", "tenant-a", "billing")).toBe("rate_limited");
    }
  });

  test("is told by an explanation, each of both kinds", () => {
    const rules = [rule({ principalRate: { perSecond: 4 }, tenantRate: { perSecond: 3 } })];
    expect(explainDecision(rules, local, "create", "tenant-a", "billing").reasons.slice(1)).toEqual([
      "each principal may have 4 keys a second by it",
      "each tenant may have 3 keys a second by it",
    ]);
  });

  test("counts each key of a batch, and lets a large batch through once its turn has come", async () => {
    const clock = new VirtualClock();
    const policy = new Policy([rule({ principalRate: { perSecond: 100 } })], clock);
    policy.authorize(local, "create", "tenant-a", "billing", 1_000);
    expect(ask(policy, local, "create", "tenant-a", "billing")).toBe("rate_limited");
    await clock.advance(8_900);
    expect(ask(policy, local, "create", "tenant-a", "billing")).toBe("rate_limited");
    await clock.advance(200);
    expect(ask(policy, local, "create", "tenant-a", "billing")).toBe("ok");
  });
});

describe("how long plaintexts may be kept", () => {
  test("is the least that any rule says which allows something here, and without bound where none says it", () => {
    const policy = policyOf(
      rule({ cacheSeconds: 60 }),
      rule({ operations: ["rewrap"], cacheSeconds: 5 }),
      rule({ services: ["mail"] }),
      rule({ services: ["denied"], cacheSeconds: 9 }),
      rule({ services: ["denied"], effect: "deny", cacheSeconds: 1 }),
      rule({ principals: ["cn:other"], cacheSeconds: 2 }),
    );
    expect(policy.cacheSeconds(local, "tenant-a", "billing")).toBe(5);
    expect(policy.cacheSeconds(local, "tenant-a", "mail")).toBe(Number.POSITIVE_INFINITY);
    expect(policyOf(rule({ cacheSeconds: 60 })).cacheSeconds(local, "tenant-a", "billing")).toBe(60);
    // Nothing is allowed, so nothing is said.
    expect(policy.cacheSeconds(local, "tenant-a", "denied")).toBe(Number.POSITIVE_INFINITY);
  });
});

test("a tenant concerns the principals that a rule allows something of it, and no others", () => {
  const policy = policyOf(rule({ tenants: ["a"] }), rule({ tenants: ["b"], effect: "deny" }));
  expect([local, billing].map((principal) => policy.mayUseTenant(principal, "a"))).toEqual([true, true]);
  expect(policy.mayUseTenant(local, "b")).toBe(false);
  expect(policy.mayUseTenant({ kind: "listener", name: "else" }, "a")).toBe(false);
});

test("a few rules count at once, with no turn between", async () => {
  const policy = policyOf();
  const replaced = policy.replaceInSlices([rule()]);
  expect(ask(policy, local, "create", "tenant-a", "billing")).toBe("ok");
  await replaced;
});

describe("an explanation", () => {
  const rules = [
    rule({ name: "payments" }),
    rule({ effect: "deny", tenants: ["tenant-b"] }),
    rule({ principals: ["cn:batch"] }),
  ];

  test("names the rule that decides", () => {
    const allowed = explainDecision(rules, local, "create", "tenant-a", "billing");
    expect(allowed).toMatchObject({ allowed: true, ruleIndex: 0 });
    expect(allowed.reasons[0]).toContain('policies[0] ("payments")');
    const denied = explainDecision(rules, local, "create", "tenant-b", "billing");
    expect(denied).toMatchObject({ allowed: false, ruleIndex: 1 });
    expect(denied.reasons[0]).toContain("policies[1] denies it");
  });

  test("says what is missing where no rule decides", () => {
    expect(explainDecision(rules, local, "rewrap", "other", "billing").reasons).toEqual([
      "no rule allows it",
      'policies[0] ("payments") names the principal, but not the tenant "other" nor the operation "rewrap"',
    ]);
    expect(explainDecision(rules, parsePrincipalId("nobody"), "create", "a", "b").reasons).toEqual([
      'no rule names the principal "nobody"',
    ]);
  });
});

describe("a check of policies", () => {
  const messages = (changes: Partial<PolicyRule>): string[] =>
    checkPolicies([rule({ principals: ["local"], ...changes })], ["local", "billing"]).map(
      ({ key, message }) => `${key}: ${message}`,
    );

  test("finds nothing wrong in a good one", () => {
    expect(messages({})).toEqual([]);
    expect(messages({ principals: ["*", "dns:a.example", "spiffe://example.org/*", "cn:Batch Job", "bill*"] })).toEqual(
      [],
    );
  });

  test("finds patterns that match nothing and principals that no listener gives", () => {
    expect(messages({ tenants: ["tenant a"] })[0]).toStartWith('tenants: "tenant a" matches no name');
    expect(messages({ services: [""] })[0]).toStartWith('services: "" matches no name');
    expect(messages({ principals: ["loacl"] })[0]).toContain("named are local, billing");
    expect(messages({ principals: [""] })).toEqual(["principals: an empty principal matches no one: remove it"]);
    expect(messages({ principals: ["dns:a b"] })).toEqual([
      'principals: "dns:a b" matches no one: a principal has no spaces or control characters',
    ]);
    expect(checkPolicies([rule({ principals: ["local"] })], [])[0]!.message).toContain("none is named");
  });

  test("finds a rate in a rule that denies, and nowhere else", () => {
    const rate = { perSecond: 1 };
    for (const rates of [{ principalRate: rate }, { tenantRate: rate }, { principalRate: rate, tenantRate: rate }]) {
      expect(messages({ effect: "deny", ...rates })).toEqual([
        "rate_limit: a rule that denies has no rate: remove it here",
      ]);
      expect(messages(rates)).toEqual([]);
    }
    expect(messages({ effect: "deny" })).toEqual([]);
  });
});

test("a principal's id is read back as it was written", () => {
  for (const principal of [
    local,
    billing,
    { kind: "dns", name: "app.example" },
    { kind: "common_name", name: "spiffe://example.org/x" },
    { kind: "token", name: "system:serviceaccount:shop:billing" },
  ] as const) {
    expect(parsePrincipalId(principalId(principal))).toEqual(principal);
  }
});

test("ten thousand rules are compiled in slices, between which others have their turn, and count once all are", async () => {
  const rules = Array.from({ length: 10_000 }, (_, index) => ({
    principals: [`team-${index}`],
    tenants: [`tenant-${index}`],
    services: ["*"],
    operations: ["create" as const],
  }));
  const policy = new Policy([{ ...rules[0]!, tenants: ["before"] }], new VirtualClock());
  const team = { kind: "listener", name: "team-0" } as const;
  let turns = 0;
  let over = false;
  const count = (): void => {
    if (over) return;
    turns++;
    // Nothing of the new rules counts while some are missing.
    expect(() => policy.authorize(team, "create", "before", "x")).not.toThrow();
    setImmediate(count);
  };
  setImmediate(count);
  await policy.replaceInSlices(rules);
  over = true;
  expect(turns).toBeGreaterThanOrEqual(40);
  expect(() => policy.authorize(team, "create", "before", "x")).toThrow();
  expect(() => policy.authorize({ kind: "listener", name: "team-9999" }, "create", "tenant-9999", "x")).not.toThrow();
});
