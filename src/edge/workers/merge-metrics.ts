import type { MetricsFormat } from "../../base/network/metrics-format.ts";

/**
 * The metrics of several workers as one text: every sample with a label `worker`, so that nothing is lost in adding up; a
 * query sums over it (`sum without (worker)`).
 */
export function mergeMetrics(texts: ReadonlyMap<number, string>, format: MetricsFormat): string {
  // The samples of a metric must stand together, after its HELP and TYPE.
  const families = new Map<string, { head: string[]; samples: string[] }>();
  for (const [worker, text] of texts) {
    let family: { head: string[]; samples: string[] } | undefined;
    for (const line of text.split("\n")) {
      if (line === "") continue;
      const name = /^# (?:HELP|TYPE) (\S+)/.exec(line)?.[1];
      if (name !== undefined) {
        family = families.get(name) ?? { head: [], samples: [] };
        families.set(name, family);
        if (!family.head.includes(line)) family.head.push(line);
      } else if (!line.startsWith("#")) {
        family?.samples.push(labelled(line, worker));
      }
    }
  }
  const merged = [...families.values()].map(({ head, samples }) => `${[...head, ...samples].join("\n")}\n`);
  return format === "prometheus" ? merged.join("\n") : `${merged.join("")}# EOF\n`;
}

/** `name 1` and `name{a="b"} 1`, with the worker's label first. */
function labelled(sample: string, worker: number): string {
  const end = sample.search(/[{ ]/);
  const name = sample.slice(0, end);
  const rest = sample.slice(end);
  return rest.startsWith("{") ? `${name}{worker="${worker}",${rest.slice(1)}` : `${name}{worker="${worker}"}${rest}`;
}
