/**
 * A load generator of our own, for what `wrk` does not do: Unix sockets, client certificates, and load at a fixed rate
 * whose latency counts from the moment a request was due, not from when a connection was free for it (coordinated
 * omission). It runs as a process of its own on a core of its own; test/bench/generator.test.ts holds it to a server
 * that stalls on purpose, and the bench prints what `wrk` measures beside it.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { nativeProgram } from "./native.ts";
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
  /** At a fixed rate: ends once so many were asked and answered; `seconds` is the limit then. */
  readonly requestsMax?: number;
}

export interface LoadResult {
  readonly requestsPerSecond: number;
  readonly requests: number;
  /** Answers with another status than 2xx, and connections that broke. */
  readonly errors: number;
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly p999: number; readonly max: number };
  /** At a fixed rate, how late the generator itself was to ask. */
  readonly lateMs: { readonly p99: number; readonly p999: number };
  /** Processor time of the generator, in cores. */
  readonly clientCores: number;
  /** The status of the first answer that was an error. */
  readonly firstError?: string;
}

/** Runs the generator and waits for its result. */
export async function generateLoad(options: LoadOptions): Promise<LoadResult> {
  const program = nativeProgram("load");
  return program === undefined ? generateByBun(options) : generateNatively(program, options);
}

/** By the program in C, which takes a twentieth of a core where it drives a server at 10,000 requests a second. */
async function generateNatively(program: string, options: LoadOptions): Promise<LoadResult> {
  const { target, connections, seconds, warmUpSeconds = 0.5, rate, requestsMax } = options;
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-load-"));
  const file = (name: string, content: string | Uint8Array): string => {
    const path = join(folder, name);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  };
  try {
    const { tls } = target;
    const place = target.unix === undefined ? ["--port", String(target.port)] : ["--unix", target.unix];
    const trust = tls === undefined ? [] : ["--ca", file("ca.pem", tls.ca), "--name", tls.serverName];
    const identity =
      tls?.cert === undefined || tls.key === undefined
        ? []
        : ["--cert", file("cert.pem", tls.cert), "--key", file("key.pem", tls.key)];
    const messages = options.requests.flatMap((request, index) => [
      "--message",
      String(request.weight ?? 1),
      file(`${index}.http`, encodeRequest(request)),
    ]);
    return await output<LoadResult>(options.beside, [
      program,
      ...place,
      ...trust,
      ...identity,
      ...["--connections", String(connections), "--seconds", String(seconds), "--warm-up", String(warmUpSeconds)],
      ...(rate === undefined ? [] : ["--rate", String(rate)]),
      ...(requestsMax === undefined ? [] : ["--requests", String(requestsMax)]),
      ...messages,
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** By a process of our own, where there is no compiler. */
export function generateByBun(options: LoadOptions): Promise<LoadResult> {
  const script = fileURLToPath(new URL("./generator-process.ts", import.meta.url));
  return output(options.beside, [process.execPath, script], JSON.stringify(options));
}

async function output<Result>(beside = false, command: readonly string[], input = ""): Promise<Result> {
  const child = Bun.spawn(onCore(beside ? "beside" : "client", command), {
    stdin: new Blob([input]),
    stdout: "pipe",
    stderr: "inherit",
  });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error("The load generator failed.");
  return JSON.parse(text) as Result;
}

export function encodeRequest(request: LoadRequest): Buffer {
  const body =
    request.bodyBase64 === undefined ? Buffer.from(request.body ?? "") : Buffer.from(request.bodyBase64, "base64");
  const head = [
    `${request.method} ${request.path} HTTP/1.1`,
    "Host: localhost",
    ...(request.headers ?? []),
    ...(request.method === "POST"
      ? [`Content-Type: ${request.contentType ?? "application/json"}`, `Content-Length: ${body.length}`]
      : []),
  ];
  return Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`, "latin1"), body]);
}
