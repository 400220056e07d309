/** What the conformance kit found: rules, each kept, broken, or not tried and why. */
export interface RuleResult {
  /** Stable, such as `lease-grant`; docs/plugins.md lists them. */
  readonly rule: string;
  /** The rule in words, as the port's text has it. */
  readonly title: string;
  readonly outcome: "kept" | "broken" | "not tried";
  /** What went wrong, or why it was not tried. */
  readonly detail?: string;
}

/** The rules of one contribution. */
export interface Section {
  /** The contribution, such as `key source "static"`. */
  readonly subject: string;
  readonly results: readonly RuleResult[];
}

/** What was found about one plugin. */
export interface Report {
  readonly path: string;
  readonly plugin: string;
  /** The hash that pins the plugin. */
  readonly sha256: string;
  /** What its entry has to allow beside that pin; mostly nothing. */
  readonly allow: readonly string[];
  readonly sections: readonly Section[];
}

/** Rules by outcome. */
export interface Totals {
  readonly kept: number;
  readonly broken: number;
  readonly notTried: number;
}

/**
 * Counts a report's rules by outcome. A plugin is good when none is `broken`.
 *
 * @example
 * ```ts
 * process.exitCode = totalsOf(report).broken > 0 ? 1 : 0;
 * ```
 */
export function totalsOf({ sections }: Pick<Report, "sections">): Totals {
  const outcomes = sections.flatMap(({ results }) => results.map(({ outcome }) => outcome));
  const count = (wanted: RuleResult["outcome"]): number => outcomes.filter((outcome) => outcome === wanted).length;
  return { kept: count("kept"), broken: count("broken"), notTried: count("not tried") };
}

/**
 * The report as text, a line for each rule, for a person to read.
 *
 * @example
 * ```ts
 * console.log(printReport(await checkPlugin("./my-plugin")));
 * ```
 */
export function printReport(report: Report): string {
  const lines = [`${report.plugin}  ${report.path}`, `sha256: ${report.sha256}`];
  if (report.allow.length > 0) lines.push(`allow: [${report.allow.join(", ")}]`);
  for (const { subject, results } of report.sections) {
    lines.push("", subject);
    for (const { outcome, rule, title, detail } of results) {
      const mark = { kept: "ok  ", broken: "FAIL", "not tried": "  - " }[outcome];
      lines.push(`  ${mark} ${rule}: ${title}${detail === undefined ? "" : `\n         ${detail}`}`);
    }
  }
  const { kept, broken, notTried } = totalsOf(report);
  return [...lines, "", `${kept} kept, ${broken} broken, ${notTried} not tried`].join("\n");
}
