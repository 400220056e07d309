/** What `serve` has loaded once it is ready, and after its first requests. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startServer } from "./processes.ts";

export interface LoadedHeap {
  /** Live functions (FunctionExecutable): what each pause of the collector is paid for. */
  readonly functions: number;
  readonly codeBlocks: number;
  /** Evaluated modules, of this project and of its packages alike. */
  readonly modules: number;
  readonly heapBytes: number;
  /** Of `heapBytes`, what objects hold outside the heap's own blocks: arrays of bytes and of numbers, source text. */
  readonly outsideBytes: number;
  readonly packages: readonly string[];
}

const ROOT = join(import.meta.dirname, "../..");
const SERVICE_KEY = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const CREATE = JSON.stringify({ tenant: "tenant-a", service: "billing" });

/** The configuration of a static source behind one Unix socket: the least that an operator would write. */
export function leastConfiguration(socket: string): object {
  return {
    edge: { id: "edge-bench" },
    key_source: {
      use: "static",
      static: { keys: [{ tenant: "tenant-a", service: "billing", version: 3, state: "active", key: SERVICE_KEY }] },
    },
    listeners: [{ unix: socket, mode: "0600", principal: "bench" }],
    policies: [{ principals: ["bench"], tenants: ["*"], services: ["*"], operations: ["create", "decrypt"] }],
    plugins: [join(ROOT, "plugins/static")],
    log: { level: "error" },
  };
}

/** Starts `serve` from source, asks for one data key, and looks. Its keys are those of a file, or of a Core whose revocations it follows. */
export async function heapOfServe(source: "static" | "core" = "static"): Promise<LoadedHeap> {
  const directory = mkdtempSync(join(tmpdir(), "crypto-edge-loaded-"));
  const socket = join(directory, "edge.sock");
  const file = join(directory, "edge.yaml");
  const core = source === "core" ? await startServer("core.ts", { directory }, "client") : undefined;
  const configuration = core === undefined ? {} : leasedFrom(core.ready.url as string);
  writeFileSync(file, JSON.stringify({ ...leastConfiguration(socket), ...configuration }), { mode: 0o600 });
  const probe = join(import.meta.dirname, "heap-probe.ts");
  const serve = [process.execPath, "--preload", probe, join(ROOT, "src/main.ts"), "serve", "--config", file];
  const edge = Bun.spawn(serve, { stdout: "ignore", stderr: "pipe" });
  try {
    await answerOf(socket, edge);
    edge.kill("SIGUSR2");
    let text = "";
    for await (const chunk of edge.stderr) {
      text += Buffer.from(chunk).toString();
      const [, found] = /^heap (\{.*\})\n/m.exec(text) ?? [];
      if (found !== undefined) return JSON.parse(found) as LoadedHeap;
    }
    throw new Error(`the edge told nothing of its heap: ${text}`);
  } finally {
    edge.kill("SIGTERM");
    await edge.exited;
    await core?.stop();
    rmSync(directory, { recursive: true });
  }
}

/** Beside `core.ts`'s certificates. */
function leasedFrom(url: string): object {
  return {
    key_source: { use: "core", core: { url, ca: "ca.pem", cert: "edge.pem", key: "edge.key" } },
    revocation: { transports: [{ use: "core" }] },
    plugins: [],
  };
}

/** Until the edge answers, or has ended. */
async function answerOf(socket: string, edge: { readonly exitCode: number | null }): Promise<void> {
  while (!(await isAnswered(socket))) {
    if (edge.exitCode !== null) throw new Error(`the edge ended with ${edge.exitCode}`);
    await Bun.sleep(10);
  }
}

/** Whether a data key is made over a connection of its own. */
export function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const head = `POST /v1/keys/create HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${CREATE.length}\r\nConnection: close\r\n\r\n`;
    socket.once("error", () => resolve(false));
    socket.once("connect", () => socket.write(head + CREATE));
    socket.once("data", (data) => {
      resolve(data.toString("latin1", 9, 12) === "201");
      socket.destroy();
    });
    socket.once("close", () => resolve(false));
  });
}
