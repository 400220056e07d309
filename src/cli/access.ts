/** `crypto-edge access explain`: which rule decides. */
import type { Command } from "commander";
import { isName } from "../base/names.ts";
import { OPERATIONS, type Operation } from "../edge/access/access-policy.ts";
import { EXIT_FAILED } from "./exit-codes.ts";
import { print } from "./print.ts";

export function registerAccess(program: Command): void {
  program
    .command("access")
    .description("questions about the policies")
    .command("explain")
    .argument("<principal>", "local, spiffe://…, dns:…, cn:… or token:…")
    .argument("<operation>", OPERATIONS.join(", "))
    .argument("<tenant>")
    .argument("<service>")
    .description("say which rule of the policies decides, and exit with 0 if it allows, 1 if not")
    .requiredOption("-c, --config <file>", "the YAML configuration")
    .option("--json", "as JSON: { allowed, rule, reasons }")
    .addHelpText("after", "\nExample:\n  crypto-edge access explain local decrypt tenant-a billing --config edge.yaml")
    .action(async (id: string, operation: string, tenant: string, service: string, options: ExplainOptions) => {
      if (!isOperation(operation)) {
        program.error(`error: "${operation}" is no operation: choose one of ${OPERATIONS.join(", ")}`);
      }
      for (const name of [tenant, service]) {
        if (!isName(name))
          program.error(`error: "${name}" is not a name: letters, digits and . _ : -, a letter or digit first`);
      }
      const { explainDecision } = await import("../edge/access/explain-decision.ts");
      const { parsePrincipalId } = await import("../edge/access/principal-id.ts");
      const { loadConfiguration } = await import("../edge/config/load-with-plugins.ts");
      const { policyRules } = await import("../edge/config/policy-rules.ts");
      const { configuration } = await loadConfiguration(options.config);
      const rules = policyRules(configuration.policies);
      const { allowed, ruleIndex, reasons } = explainDecision(rules, parsePrincipalId(id), operation, tenant, service);
      if (options.json) {
        const rule = ruleIndex === undefined ? null : `policies[${ruleIndex}]`;
        print(JSON.stringify({ allowed, rule, reasons }));
      } else {
        print([`${allowed ? "allowed" : "denied"}: ${reasons[0]}`, ...reasons.slice(1)].join("\n  "));
      }
      if (!allowed) process.exitCode = EXIT_FAILED;
    });
}

interface ExplainOptions {
  readonly config: string;
  readonly json?: boolean;
}

function isOperation(text: string): text is Operation {
  return (OPERATIONS as readonly string[]).includes(text);
}
