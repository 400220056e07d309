/** Of the process: its build, its event loop, its log, and what Prometheus's clients name `process_…`. */
import { readdirSync } from "node:fs";
import type { Log } from "../../base/log.ts";
import type { Clock } from "../../base/time/clock.ts";
import { COMMIT, VERSION } from "../../base/version.ts";
import { figuresOf, metric, seconds, type Value } from "./define-metric.ts";
import type { EventLoopDelay } from "./event-loop-delay.ts";
import type { MetricDefinition, MetricType } from "./metrics.ts";

export interface ProcessFigures {
  readonly clock: Clock;
  readonly eventLoop: EventLoopDelay;
  readonly log: Pick<Log, "suppressed">;
}

export function processMetrics({ clock, eventLoop, log }: ProcessFigures): MetricDefinition[] {
  const startSeconds = (clock.wallMs() - process.uptime() * 1000) / 1000;
  const standard = (name: string, type: MetricType, help: string, read: () => Value): MetricDefinition => ({
    ...metric("", type, help, read),
    name,
  });
  return [
    metric(
      "build_info",
      "gauge",
      "1, with the version and the commit as labels.",
      () => [{ labels: { version: VERSION, commit: COMMIT }, value: 1 }],
      { version: "of the edge", commit: "that it was built from" },
    ),
    metric("event_loop_delay_seconds", "gauge", "The longest that the event loop was late since the last scrape.", () =>
      seconds(eventLoop.takeLongestMs()),
    ),
    metric(
      "log_suppressed_total",
      "counter",
      "Log lines left out since too many said the same.",
      figuresOf(() => log)("suppressed"),
    ),
    standard("process_cpu_seconds_total", "counter", "User and system CPU time.", () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    }),
    standard("process_resident_memory_bytes", "gauge", "Resident memory.", process.memoryUsage.rss),
    standard("process_heap_bytes", "gauge", "The garbage-collected heap in use.", () => process.memoryUsage().heapUsed),
    standard("process_start_time_seconds", "gauge", "Start, in seconds since 1970.", () => startSeconds),
    standard("process_open_fds", "gauge", "Open file descriptors, where the system tells.", openDescriptors),
  ];
}

/** A process that can't be dumped may not list its own descriptors unless it is root. */
function openDescriptors(): number | undefined {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return undefined;
  }
}
