/** The metrics of hooks and of the chain of key sources, read at the scrape. */
import type { ChainedKeySource } from "../key-source/chained.ts";
import type { MetricDefinition, Sample } from "../telemetry/metrics.ts";
import type { HookRunner } from "./hook-runner.ts";

/** None where no plugin brings hooks. */
export function hookMetrics(hooks: HookRunner | undefined): MetricDefinition[] {
  if (hooks === undefined) return [];
  const outcomes = ["refused", "threw", "late", "overloaded"] as const;
  return [
    {
      name: "crypto_edge_hook_outcomes_total",
      type: "counter",
      help: "Calls of hooks that did not just let an operation pass.",
      labels: { hook: "the hook's name", outcome: outcomes.map((outcome) => `\`${outcome}\``).join(", ") },
      read: () =>
        hooks.counters.flatMap((counters) =>
          outcomes.map((outcome): Sample => ({ labels: { hook: counters.hook, outcome }, value: counters[outcome] })),
        ),
    },
    {
      name: "crypto_edge_hook_open_calls",
      type: "gauge",
      help: "Calls of hooks whose promise has not settled.",
      labels: { hook: "the hook's name" },
      read: () => hooks.counters.map(({ hook, open }) => ({ labels: { hook }, value: open })),
    },
  ];
}

export function chainMetrics(chain: ChainedKeySource): MetricDefinition[] {
  const outcomes = ["granted", "refused", "unavailable", "skipped"] as const;
  return [
    {
      name: "crypto_edge_source_outcomes_total",
      type: "counter",
      help: "How each source of the chain answered; `skipped` while its circuit was open.",
      labels: { source: "the source's name", outcome: outcomes.map((outcome) => `\`${outcome}\``).join(", ") },
      read: () =>
        chain
          .status()
          .flatMap((status) =>
            outcomes.map((outcome): Sample => ({ labels: { source: status.source, outcome }, value: status[outcome] })),
          ),
    },
    {
      name: "crypto_edge_source_in_use",
      type: "gauge",
      help: "1 while the circuit of a source of the chain is closed.",
      labels: { source: "the source's name" },
      read: () =>
        chain.status().map(({ source, circuit }) => ({ labels: { source }, value: circuit === "closed" ? 1 : 0 })),
    },
  ];
}
