/**
 * A caller who does nothing wrong while others attack: one call each 10 ms over the edge's Unix socket, from a thread of its own,
 * so that the attackers' work here does not count as the edge's. A message `take` is answered with what came since the last one.
 */
import { Agent, request } from "node:http";

export interface Witnessed {
  /** Milliseconds of each call, in order of size. */
  readonly tookMs: readonly number[];
  /** How often each status came; -1 is a call without an answer. */
  readonly statuses: Readonly<Record<number, number>>;
  /** How late the edge's event loop was at most, in seconds. */
  readonly longestTurnSeconds: number;
}

const EVERY_MS = 10;

declare const self: Worker & { onmessage: (event: MessageEvent) => void };

const agent = new Agent({ keepAlive: true, maxSockets: 4 });
let socketPath = "";
let tookMs: number[] = [];
let statuses: Record<number, number> = {};

self.onmessage = ({ data }: MessageEvent<{ socketPath: string } | "take">) => {
  if (data === "take") return void take();
  socketPath = data.socketPath;
  setInterval(() => void call(), EVERY_MS);
};

async function call(): Promise<void> {
  const body = '{"tenant":"tenant-a","service":"billing"}';
  const startMs = performance.now();
  const [status] = await answerOf("POST", "/v1/keys/create", body);
  tookMs.push(performance.now() - startMs);
  statuses[status] = (statuses[status] ?? 0) + 1;
}

async function take(): Promise<void> {
  const [, text] = await answerOf("GET", "/metrics");
  const [, seconds = "0"] = /^crypto_edge_event_loop_delay_seconds (\S+)/m.exec(text) ?? [];
  const witnessed: Witnessed = {
    tookMs: tookMs.sort((a, b) => a - b),
    statuses,
    longestTurnSeconds: Number(seconds),
  };
  tookMs = [];
  statuses = {};
  self.postMessage(witnessed);
}

function answerOf(method: string, path: string, body?: string): Promise<[status: number, text: string]> {
  return new Promise((resolve) => {
    const headers = body === undefined ? {} : { "content-type": "application/json", "content-length": body.length };
    const sent = request({ agent, socketPath, method, path, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => resolve([response.statusCode ?? -1, Buffer.concat(chunks).toString()]));
      response.on("error", () => resolve([-1, ""]));
    });
    sent.on("error", () => resolve([-1, ""]));
    sent.end(body);
  });
}
