import { describe, expect, test } from "bun:test";
import { metricsFormatFor } from "../../../src/base/network/metrics-format.ts";

describe("a scraper gets the format that it asks for", () => {
  test("OpenMetrics, as Prometheus 2 and 3 ask for it", () => {
    for (const accept of [
      "application/openmetrics-text",
      "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
      "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.2",
      "Application/OpenMetrics-Text; Version=1.0.0",
    ])
      expect([accept, metricsFormatFor(accept)]).toEqual([accept, "openmetrics"]);
  });

  test("plain text, where it says nothing, something else, or likes it better", () => {
    for (const accept of [
      undefined,
      "",
      "*/*",
      "text/plain",
      "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.5",
      "application/openmetrics-text;q=0",
      "application/openmetrics-text;q=nonsense",
      "application/openmetrics-text;version=2.0.0",
      ",;=,;;,q=1",
    ])
      expect([accept, metricsFormatFor(accept)]).toEqual([accept, "prometheus"]);
  });
});
