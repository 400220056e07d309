/**
 * A load generator of our own, for what `wrk` does not do: Unix sockets, client certificates, and load at a fixed rate
 * whose latency counts from the moment a request was due, not from when a connection was free for it (coordinated
 * omission). It runs as a process of its own on a core of its own; test/bench/generator.test.ts holds it to a server
 * that stalls on purpose, and the bench prints what `wrk` measures beside it.
 */
import { fileURLToPath } from "node:url";
import { onCore } from "./processes.ts";

export interface Target {
  /** A loopback port, or the path of a Unix socket. */
  readonly port?: number;
  readonly unix?: string;
  /** PEM texts, for HTTPS; `cert` and `key` where the server asks for them. */
  readonly tls?: { readonly ca: string; readonly cert?: string; readonly key?: string; readonly serverName: string };
}

export interface LoadRequest {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly contentType?: string;
  /** Further header lines, such as `X-Vault-Token: root`. */
  readonly headers?: readonly string[];
  readonly body?: string;
  /** Where the body is bytes: base64. */
  readonly bodyBase64?: string;
  /** How often, against the others. */
  readonly weight?: number;
}

export interface LoadOptions {
  readonly target: Target;
  readonly requests: readonly LoadRequest[];
  readonly connections: number;
  readonly seconds: number;
  /** Requests a second, due at even distances; without it every connection asks again as soon as it was answered. */
  readonly rate?: number;
  /** A load that is not itself measured: sends what is due once a millisecond, sleeps between, and yields to the server. */
  readonly beside?: boolean;
  /** Not measured, before the seconds that are. */
  readonly warmUpSeconds?: number;
}

export interface LoadResult {
  readonly requestsPerSecond: number;
  readonly requests: number;
  /** Answers with another status than 2xx, and connections that broke. */
  readonly errors: number;
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly p999: number; readonly max: number };
  /** Processor time of the generator, in cores. */
  readonly clientCores: number;
  /** The status of the first answer that was an error. */
  readonly firstError?: string;
}

/** Runs the generator and waits for its result. */
export async function generateLoad(options: LoadOptions): Promise<LoadResult> {
  const script = fileURLToPath(new URL("./generator-process.ts", import.meta.url));
  const child = Bun.spawn(onCore(options.beside ? "beside" : "client", [process.execPath, script]), {
    stdin: new Blob([JSON.stringify(options)]),
    stdout: "pipe",
    stderr: "inherit",
  });
  const output = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error("The load generator failed.");
  return JSON.parse(output) as LoadResult;
}
