/**
 * A caller who does nothing wrong while others attack: one call each 5 ms over the edge's Unix socket, from a process of its own. It is
 * sent the socket's path first; the message `take` is answered with what came since the last one.
 */
import { Agent, request } from "node:http";

export interface BystanderCall {
  /** Of the clock on the wall, when it was sent. */
  readonly atMs: number;
  readonly tookMs: number;
}

export interface Witnessed {
  readonly calls: readonly BystanderCall[];
  /** How often each status came; -1 is a call without an answer. */
  readonly statuses: Readonly<Record<number, number>>;
}

const EVERY_MS = 5;
const BODY = '{"tenant":"tenant-a","service":"billing"}';

const agent = new Agent({ keepAlive: true, maxSockets: 16 });
let calls: BystanderCall[] = [];
let statuses: Record<number, number> = {};

process.on("message", (message: "take" | { readonly socketPath: string }) => {
  if (message !== "take") return void setInterval(() => void call(message.socketPath), EVERY_MS);
  const witnessed: Witnessed = { calls, statuses };
  calls = [];
  statuses = {};
  process.send!(witnessed);
});
process.on("disconnect", () => process.exit());

async function call(socketPath: string): Promise<void> {
  const atMs = Date.now();
  const startMs = performance.now();
  const status = await statusOf(socketPath);
  calls.push({ atMs, tookMs: performance.now() - startMs });
  statuses[status] = (statuses[status] ?? 0) + 1;
}

function statusOf(socketPath: string): Promise<number> {
  return new Promise((resolve) => {
    const headers = { "content-type": "application/json", "content-length": BODY.length };
    const sent = request({ agent, socketPath, method: "POST", path: "/v1/keys/create", headers }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode ?? -1));
      response.on("error", () => resolve(-1));
    });
    sent.on("error", () => resolve(-1));
    sent.end(BODY);
  });
}
