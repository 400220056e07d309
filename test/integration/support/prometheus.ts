/** A Prometheus of Debian's, which scrapes each second what it is given. */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { freePort } from "../../support/free-port.ts";

export interface Prometheus extends AsyncDisposable {
  /** What a path of its API tells, or undefined while it does not answer. */
  ask<Data>(path: string): Promise<Data | undefined>;
}

export interface PrometheusOptions {
  /** An empty one, for its files. */
  readonly folder: string;
  /** The host and port of what is scraped. */
  readonly target: string;
  readonly rules?: string;
  readonly arguments?: readonly string[];
}

export async function startPrometheus({
  folder,
  target,
  rules,
  arguments: more = [],
}: PrometheusOptions): Promise<Prometheus> {
  const port = await freePort();
  const file = join(folder, "prometheus.yaml");
  writeFileSync(
    file,
    stringify({
      global: { scrape_interval: "1s", evaluation_interval: "1s" },
      ...(rules === undefined ? undefined : { rule_files: [rules] }),
      scrape_configs: [{ job_name: "crypto-edge", static_configs: [{ targets: [target] }] }],
    }),
  );
  const prometheus = spawn(
    "prometheus",
    [
      `--config.file=${file}`,
      `--storage.tsdb.path=${join(folder, "data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
      ...more,
    ],
    { stdio: "ignore" },
  );
  const ended = new Promise((done) => prometheus.once("close", done));
  return {
    async ask<Data>(path: string): Promise<Data | undefined> {
      const answer = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`).catch(() => undefined);
      return answer?.ok === true ? ((await answer.json()) as { data: Data }).data : undefined;
    },
    async [Symbol.asyncDispose]() {
      prometheus.kill("SIGTERM");
      await ended;
    },
  };
}
