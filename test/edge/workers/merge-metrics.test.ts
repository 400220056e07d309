import { expect, test } from "bun:test";
import { mergeMetrics } from "../../../src/edge/workers/merge-metrics.ts";

test("every worker's samples are kept apart by a label, each metric's together under one HELP and TYPE", () => {
  const text = (value: number) => `# HELP a_total About "a".
# TYPE a_total counter
a_total{x="1",y="{"} ${value}

# HELP b Seconds.
# TYPE b histogram
b_bucket{le="+Inf"} ${value}
b_sum ${value}
`;
  expect(
    mergeMetrics(
      new Map([
        [1, text(5)],
        [2, text(7)],
      ]),
      "prometheus",
    ),
  ).toBe(`# HELP a_total About "a".
# TYPE a_total counter
a_total{worker="1",x="1",y="{"} 5
a_total{worker="2",x="1",y="{"} 7

# HELP b Seconds.
# TYPE b histogram
b_bucket{worker="1",le="+Inf"} 5
b_sum{worker="1"} 5
b_bucket{worker="2",le="+Inf"} 7
b_sum{worker="2"} 7
`);
});

test("a metric that one worker alone has is told, and no workers are no text", () => {
  const merged = mergeMetrics(
    new Map([
      [1, "# TYPE a counter\na 1\n"],
      [2, "# TYPE c gauge\nc 2\n"],
    ]),
    "prometheus",
  );
  expect(merged).toContain('a{worker="1"} 1');
  expect(merged).toContain('c{worker="2"} 2');
  expect(mergeMetrics(new Map(), "prometheus")).toBe("");
});

test("OpenMetrics of several workers keep their exemplars, and end once", () => {
  const text = `# TYPE a histogram\na_bucket{le="1.0"} 1 # {trace_id="0f"} 0.5 1700000000.000\n# EOF\n`;
  expect(
    mergeMetrics(
      new Map([
        [1, text],
        [2, text],
      ]),
      "openmetrics",
    ),
  ).toBe(`# TYPE a histogram
a_bucket{worker="1",le="1.0"} 1 # {trace_id="0f"} 0.5 1700000000.000
a_bucket{worker="2",le="1.0"} 1 # {trace_id="0f"} 0.5 1700000000.000
# EOF
`);
});
