import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { freePort } from "../../support/free-port.ts";
import { eventually } from "../../support/until.ts";
import { type Broker, makeFolder } from "./broker.ts";

export interface NatsServerOptions {
  /** Further lines of the server's configuration; `FOLDER` is replaced. */
  readonly configuration?: string;
  /** Files to write into the folder first. */
  readonly files?: Readonly<Record<string, string>>;
}

/** Debian's `nats-server` with JetStream. */
export async function startNatsServer(options: NatsServerOptions = {}): Promise<Broker> {
  const folder = makeFolder();
  const port = await freePort();
  for (const [name, text] of Object.entries(options.files ?? {})) writeFileSync(join(folder.path, name), text);
  const configuration = `
    listen: "127.0.0.1:${port}"
    jetstream { store_dir: "FOLDER/jetstream", max_mem: 64MB, max_file: 256MB }
    ${options.configuration ?? ""}`;
  writeFileSync(join(folder.path, "nats.conf"), configuration.replaceAll("FOLDER", folder.path));
  let child: Bun.Subprocess | undefined;
  const broker: Broker = {
    port,
    folder: folder.path,
    async start() {
      child = Bun.spawn(["nats-server", "-c", join(folder.path, "nats.conf")], {
        stdio: ["ignore", "ignore", Bun.file(join(folder.path, "server.log"))],
      });
      await eventually(() => greets(port), "nats-server answering");
    },
    async kill() {
      child?.kill("SIGKILL");
      await child?.exited;
    },
    async [Symbol.asyncDispose]() {
      await broker.kill();
      folder.remove();
    },
  };
  await broker.start();
  return broker;
}

/** Whether the server says INFO. */
function greets(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const end = (said: boolean) => {
      socket.destroy();
      resolve(said);
    };
    socket.once("data", (data) => end(data.toString().startsWith("INFO")));
    socket.once("error", () => end(false));
    socket.setTimeout(1_000, () => end(false));
  });
}
