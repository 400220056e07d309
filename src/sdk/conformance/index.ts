/**
 * `crypto-edge/plugin/conformance`: holds a plugin to the rules of its ports. docs/plugins.md, "The conformance kit".
 *
 * @example
 * ```ts
 * const report = await checkPlugin("./my-plugin", { key: "tenant-a/billing" });
 * console.log(printReport(report));
 * if (totalsOf(report).broken > 0) process.exitCode = 1;
 * ```
 * @packageDocumentation
 */
export { type CheckOptions, checkPlugin } from "./check-plugin.ts";
export { printReport, type Report, type RuleResult, type Section, type Totals, totalsOf } from "./report.ts";
