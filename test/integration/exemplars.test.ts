/** Exemplars, from an edge to a real Prometheus: its latency leads to the trace that its collector got. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startOtlpReceiver } from "../support/otlp-receiver.ts";
import { startStaticEdge, staticConfiguration } from "../support/static-edge.ts";
import { startPrometheus } from "./support/prometheus.ts";

const HISTOGRAM = "crypto_edge_operation_duration_seconds_bucket";

interface ExemplarSeries {
  readonly seriesLabels: Readonly<Record<string, string>>;
  readonly exemplars: readonly { readonly labels: { readonly trace_id: string }; readonly value: string }[];
}

test("Prometheus stores the trace of a miss as an exemplar of the latency, and the collector has that trace", async () => {
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-exemplars-"));
  const receiver = await startOtlpReceiver();
  const edge = await startStaticEdge(
    staticConfiguration(`telemetry: { otlp: { url: "${receiver.url}" } }\nmetrics: { listen: "127.0.0.1:0" }`),
  );
  const prometheus = await startPrometheus({
    folder,
    target: new URL(edge.urls.at(-1)!).host,
    arguments: ["--enable-feature=exemplar-storage"],
  });
  try {
    for (let call = 0; call < 50; call++) await edge.client.createKey({ tenant: "tenant-a", service: "billing" });
    const range = `start=${Date.now() / 1000 - 600}&end=${Date.now() / 1000 + 600}`;
    let stored: ExemplarSeries[] | undefined;
    for (let waited = 0; (stored ?? []).length === 0; waited++) {
      if (waited > 600) throw new Error("Prometheus has no exemplar");
      await Bun.sleep(200);
      stored = await prometheus.ask<ExemplarSeries[]>(`query_exemplars?query=${HISTOGRAM}&${range}`);
    }
    expect(stored!.map(({ seriesLabels: { __name__, operation, outcome } }) => [__name__, operation, outcome])).toEqual(
      [[HISTOGRAM, "create", "ok"]],
    );
    const [{ exemplars }] = stored as [ExemplarSeries];
    expect(exemplars).toHaveLength(1);

    // The same scrape brought everything else, under the names that rules and dashboards know.
    for (const query of ["crypto_edge_lease_hits_total", "crypto_edge_leases", `${HISTOGRAM}{le="0.001"}`]) {
      const told = await prometheus.ask<{ result: unknown[] }>(`query?query=${encodeURIComponent(query)}`);
      expect([query, told!.result.length > 0]).toEqual([query, true]);
    }
    await edge.close();
    const wait = receiver.spans.filter(({ name }) => name === "lease.wait");
    expect(wait.map(({ traceId }) => traceId)).toEqual([exemplars[0]!.labels.trace_id]);
  } finally {
    await prometheus[Symbol.asyncDispose]();
    await edge.close();
    await receiver.close();
    rmSync(folder, { recursive: true, force: true });
  }
}, 300_000);
