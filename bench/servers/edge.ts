/**
 * An edge with one lease held for ever, everything allowed, nothing counted: the server's own path and nothing else.
 * Options: { port?, unix? }.
 */
import { createOrchestrator } from "../../src/orchestrator.ts";
import { createApp } from "../../src/server/app.ts";
import { listenOnPort, listenOnUnixSocket } from "../../src/server/listeners/bun.ts";
import { allowAll, heldLeases, ignoreUsage, PRINCIPAL } from "../harness/edge-in-process.ts";

const options = JSON.parse(process.argv[2] ?? "{}") as { port?: number; unix?: string };
const app = createApp({
  orchestrator: createOrchestrator({ access: allowAll, leases: heldLeases(), usage: ignoreUsage }),
  identify: () => PRINCIPAL,
  readiness: () => ({ ready: true }),
  status: () => ({}),
  onDefect: (error) => console.error(error),
});
const limits = { bodyBytesMax: 64 * 1024 * 1024 };
const listener =
  options.unix === undefined
    ? listenOnPort("127.0.0.1", options.port ?? 0, app.handle, limits)
    : await listenOnUnixSocket(options.unix, 0o600, app.handle, limits);
console.log(JSON.stringify({ port: Number(listener.address.split(":").at(-1)) || null, address: listener.address }));
process.on("SIGTERM", () => process.exit(0));
