/** Every metric of the edge, each read from the module that keeps the figure. docs/metrics.md is made from this. */
import type { CipherDescription } from "../cipher/cipher.ts";
import type { KeyMemoryStats } from "../key-memory/key-memory.ts";
import type { UsageStatus } from "../usage/usage.ts";
import { figuresOf, metric } from "./define-metric.ts";
import { type LeaseFigures, leaseMetrics, sourceMetrics } from "./lease-metrics.ts";
import type { MetricDefinition } from "./metrics.ts";
import type { OperationLatency } from "./operation-latency.ts";
import { type ProcessFigures, processMetrics } from "./process-metrics.ts";
import { type RevocationFigures, revocationMetrics } from "./revocation-metrics.ts";
import { usageMetrics } from "./usage-metrics.ts";

/** Where the figures are. */
export interface MetricSources extends ProcessFigures {
  readonly latency: OperationLatency;
  readonly leases: LeaseFigures;
  /** Undefined where nothing pushes revocations. */
  readonly revocation: () => RevocationFigures | undefined;
  readonly usage: () => UsageStatus;
  readonly keyMemory: () => KeyMemoryStats;
  readonly cipher: () => CipherDescription;
}

export function edgeMetrics(sources: MetricSources): MetricDefinition[] {
  return [
    ...sources.latency.definitions(),
    ...leaseMetrics(sources.leases),
    ...sourceMetrics(sources.leases),
    ...revocationMetrics(sources.revocation),
    ...usageMetrics(sources.usage),
    ...keyMemoryMetrics(sources.keyMemory),
    ...cipherMetrics(sources.cipher),
    ...processMetrics(sources),
  ];
}

function keyMemoryMetrics(keyMemory: MetricSources["keyMemory"]): MetricDefinition[] {
  const kept = figuresOf(keyMemory);
  return [
    metric(
      "key_memory_keys",
      "gauge",
      "Service keys in key memory, by its kind.",
      () => {
        const { kind, keys, heapKeys } = keyMemory();
        if (kind === "heap") return [{ labels: { kind }, value: keys }];
        return [
          { labels: { kind }, value: keys - heapKeys },
          { labels: { kind: "heap" }, value: heapKeys },
        ];
      },
      { kind: "`secret`, `locked`, `heap`" },
    ),
    metric("key_memory_mapped_bytes", "gauge", "Memory taken for keys.", kept("mappedBytes")),
    metric("key_memory_limit_bytes", "gauge", "RLIMIT_MEMLOCK; absent where there is none.", kept("memlockLimitBytes")),
  ];
}

function cipherMetrics(cipher: MetricSources["cipher"]): MetricDefinition[] {
  return [
    metric(
      "cipher_info",
      "gauge",
      "Which adapter does the cryptography: 1.",
      () => {
        const { adapter, library, fips } = cipher();
        return [{ labels: { adapter, library, fips: String(fips) }, value: 1 }];
      },
      {
        adapter: "`openssl`, `node`, or the name of a plugin's",
        library: "the library and its version",
        fips: "`true` where a FIPS module does the work",
      },
    ),
  ];
}
