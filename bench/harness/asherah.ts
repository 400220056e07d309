/**
 * GoDaddy's Asherah as a sidecar (`asherah-server` in PATH: `go build` in server/go of https://github.com/godaddy/asherah): a static
 * master key, keys in memory, sessions cached, gRPC over a Unix socket as an application beside it uses it. Encrypting 32 bytes there
 * makes, uses and wraps a data row key, as CreateKey does; decrypting opens one. Its API: server/protos/appencryption.proto.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { BenchContext } from "./context.ts";
import type { LoadedServer, OperationLoad } from "./loaded-server.ts";
import { onCore } from "./processes.ts";

const LOAD = fileURLToPath(new URL("../peers/asherah-load.ts", import.meta.url));

/** Undefined where it is not installed. */
export async function startAsherah(context: BenchContext): Promise<LoadedServer | undefined> {
  const program = Bun.which("asherah-server");
  if (program === null) {
    context.say(
      "skipped: Asherah's sidecar (asherah-server) is not installed (https://github.com/godaddy/asherah: go build in server/go)",
    );
    return undefined;
  }
  const socket = join(context.directory, "asherah.sock");
  const options = [
    "--socket-file",
    socket,
    "--service",
    "bench",
    "--product",
    "crypto-edge",
    "--enable-session-caching",
  ];
  const child = Bun.spawn(onCore("server", [program, ...options, "--metastore", "memory", "--kms", "static"]), {
    // As on one processor.
    env: { ...process.env, GOMAXPROCS: "1" },
    stdout: "ignore",
    // What it says when it ends by itself.
    stderr: Bun.file(join(context.directory, "asherah.log")),
  });
  context.cleanUp(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  const deadlineMs = performance.now() + 20_000;
  while (!existsSync(socket)) {
    if (performance.now() > deadlineMs) throw new Error("asherah-server did not start");
    await Bun.sleep(50);
  }
  return {
    name: "Asherah's sidecar",
    pid: child.pid,
    async load(operation, connections, seconds) {
      const order = JSON.stringify({ socket, operation, connections, seconds });
      const client = Bun.spawn(onCore("client", [process.execPath, LOAD, order]), {
        stdout: "pipe",
        stderr: "inherit",
      });
      const text = await new Response(client.stdout).text();
      if ((await client.exited) !== 0) {
        const told = (await Bun.file(join(context.directory, "asherah.log")).text()).trim().slice(-300);
        throw new Error(`the load on Asherah's sidecar failed; it said: ${told}`);
      }
      return JSON.parse(text) as OperationLoad;
    },
  };
}
