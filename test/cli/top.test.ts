import { describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { parseSamples, quantileBetween, sumOf } from "../../src/cli/top/samples.ts";
import { edgeView } from "../../src/cli/top/view.ts";
import { startStaticEdge } from "../support/static-edge.ts";

const MAIN = resolve(import.meta.dir, "../../src/main.ts");

describe("figures between two looks", () => {
  const look = (fast: number, slow: number): ReturnType<typeof parseSamples> =>
    parseSamples(`# HELP x y
d_bucket{operation="a",le="0.001"} ${fast}
d_bucket{operation="a",le="0.002"} ${fast + slow}
d_bucket{operation="a",le="+Inf"} ${fast + slow}
name{quote="a\\"b}",x="1"} 2
name{x="2"} 3e1
`);

  test("are read as Prometheus writes them", () => {
    const samples = look(1, 1);
    expect(sumOf(samples, "name")).toBe(32);
    expect(sumOf(samples, "name", ({ x }) => x === "1")).toBe(2);
    expect(sumOf(samples, "none")).toBeUndefined();
  });

  test("have the quantiles of what came between them, not of all time", () => {
    expect(quantileBetween(look(1_000, 100), look(1_000, 0), "d", 0.5)).toBeCloseTo(0.0015, 4);
    expect(quantileBetween(look(100, 0), look(0, 0), "d", 0.99)).toBeLessThanOrEqual(0.001);
    expect(quantileBetween(look(5, 5), look(5, 5), "d", 0.5)).toBeUndefined();
  });

  test("start anew with a process that does", () => {
    const at = (value: number) =>
      parseSamples(`crypto_edge_operation_duration_seconds_count{operation="create",outcome="ok"} ${value}\n`);
    const [, , line] = edgeView(
      { atMs: 1_000, samples: at(50), readiness: { ready: true } },
      { atMs: 0, samples: at(9_000), readiness: { ready: true } },
    );
    expect(line).toStartWith("operations  50/s");
  });
});

test("top --once shows an edge: what it does, holds and refuses", async () => {
  const edge = await startStaticEdge();
  try {
    await edge.client.createKey({ tenant: "tenant-a", service: "billing" });
    await edge.client.createKey({ tenant: "nobody-s", service: "billing" }).catch(() => undefined);
    const child = Bun.spawn([process.execPath, MAIN, "top", "--once", "--interval", "0.2", "--edge", edge.url], {
      stdout: "pipe",
      stderr: "pipe",
    });
    let calling = true;
    const load = (async () => {
      while (calling) await edge.client.createKey({ tenant: "tenant-a", service: "billing" });
    })();
    const text = await new Response(child.stdout).text();
    calling = false;
    await load;
    expect(await child.exited).toBe(0);
    expect(text).toMatch(/^crypto-edge \d+\.\d+\.\d+ {3}ready$/m);
    expect(text).toMatch(/^operations {2}[\d,.]+\/s {3}keys [\d,.]+\/s {3}p50 \d/m);
    expect(text).toMatch(/^leases {6}1 held, 0 not renewed/m);
    expect(text).toMatch(/^ {2}access_denied +0\.0\/s +1 in all$/m);
  } finally {
    await edge.close();
  }
}, 300_000);
