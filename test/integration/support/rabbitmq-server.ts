import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "amqplib";
import { freePort } from "../../support/free-port.ts";
import { eventually } from "../../support/until.ts";
import { type Broker, makeFolder } from "./broker.ts";

export interface RabbitServerOptions {
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
  /** Speaks AMQP 1.0 too, by RabbitMQ's own plugin, with these durable queues. */
  readonly amqp1Queues?: readonly string[];
  /** Files to write into the folder first. */
  readonly files?: Readonly<Record<string, string>>;
}

export interface RabbitServer extends Broker {
  /** Where it speaks TLS, when it does. */
  readonly tlsPort: number | undefined;
}

/** The user that every test server has, who may do everything. */
export const RABBIT_USER = { user: "edge", password: "edge-password" };

/** One who may do what plugins/amqp/README.md says that an edge needs, and no more. */
export const RABBIT_READER = { user: "reader", password: "reader-password" };

const OWN_QUEUES = "^(crypto-edge\\.revocations\\.edge\\.|amq\\.gen).*";
const DEFINITIONS = {
  vhosts: [{ name: "/" }],
  users: [RABBIT_USER, RABBIT_READER].map(({ user, password }) => ({
    name: user,
    password_hash: hashPassword(password),
    hashing_algorithm: "rabbit_password_hashing_sha256",
    tags: [],
  })),
  permissions: [
    { user: RABBIT_USER.user, vhost: "/", configure: ".*", write: ".*", read: ".*" },
    {
      user: RABBIT_READER.user,
      vhost: "/",
      configure: OWN_QUEUES,
      write: OWN_QUEUES,
      read: "^(crypto-edge\\.revocations|amq\\.gen).*",
    },
  ],
};

/** As RabbitMQ keeps it: a salt, and the SHA-256 of salt and password. */
function hashPassword(password: string): string {
  const salt = randomBytes(4);
  return Buffer.concat([salt, createHash("sha256").update(salt).update(password).digest()]).toString("base64");
}

/**
 * Debian's `rabbitmq-server`, as a node of its own: its name, its ports (also that of Erlang's name server), its data and
 * its cookie are the test's.
 */
export async function startRabbitServer(options: RabbitServerOptions = {}): Promise<RabbitServer> {
  const folder = makeFolder();
  const [port, tlsPort, distributionPort, epmdPort] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ];
  const file = (name: string): string => join(folder.path, name);
  const lines = [
    `listeners.tcp.1 = 127.0.0.1:${port}`,
    "loopback_users = none",
    `load_definitions = ${file("definitions.json")}`,
    "log.file = false",
    "log.console = true",
    "log.console.level = warning",
    "disk_free_limit.absolute = 1MB",
  ];
  const { amqp1Queues = [] } = options;
  const queues = amqp1Queues.map((name) => ({ name, vhost: "/", durable: true, auto_delete: false, arguments: {} }));
  writeFileSync(file("definitions.json"), JSON.stringify({ ...DEFINITIONS, queues }));
  for (const [name, text] of Object.entries(options.files ?? {})) writeFileSync(file(name), text);
  if (options.tls !== undefined) {
    for (const [name, text] of Object.entries(options.tls)) writeFileSync(file(`${name}.pem`), text);
    lines.push(
      `listeners.ssl.1 = 127.0.0.1:${tlsPort}`,
      `ssl_options.cacertfile = ${file("ca.pem")}`,
      `ssl_options.certfile = ${file("cert.pem")}`,
      `ssl_options.keyfile = ${file("key.pem")}`,
      "ssl_options.verify = verify_peer",
      "ssl_options.fail_if_no_peer_cert = true",
    );
  }
  writeFileSync(file("rabbitmq.conf"), `${lines.join("\n")}\n`);
  writeFileSync(file("enabled_plugins"), amqp1Queues.length === 0 ? "[].\n" : "[rabbitmq_amqp1_0].\n");
  mkdirSync(file("home"));
  const environment: Record<string, string> = {
    PATH: process.env.PATH ?? "/usr/bin:/bin",
    HOME: file("home"),
    LANG: "C.UTF-8",
    ERL_EPMD_PORT: `${epmdPort}`,
    ERL_EPMD_ADDRESS: "127.0.0.1",
    RABBITMQ_NODENAME: `crypto-edge-${port}@localhost`,
    RABBITMQ_DIST_PORT: `${distributionPort}`,
    RABBITMQ_CONF_ENV_FILE: "/dev/null",
    RABBITMQ_CONFIG_FILE: file("rabbitmq.conf"),
    RABBITMQ_ENABLED_PLUGINS_FILE: file("enabled_plugins"),
    RABBITMQ_MNESIA_BASE: file("data"),
    RABBITMQ_LOG_BASE: file("log"),
    RABBITMQ_GENERATED_CONFIG_DIR: file("generated"),
    RABBITMQ_PID_FILE: file("pid"),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: "+S 1:1 +sbwt none",
  };
  let child: Bun.Subprocess | undefined;
  const broker: RabbitServer = {
    port,
    tlsPort: options.tls === undefined ? undefined : tlsPort,
    folder: folder.path,
    async start() {
      // In a session of its own, so that the Erlang machine under the shell script can be ended with it.
      child = Bun.spawn(["setsid", "/usr/lib/rabbitmq/bin/rabbitmq-server"], {
        cwd: folder.path,
        env: environment,
        stdio: ["ignore", Bun.file(file("server.log")), Bun.file(file("server.err"))],
      });
      await eventually(() => answers(port), "rabbitmq-server answering", 90_000);
    },
    async kill() {
      if (child === undefined) return;
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // Gone already.
      }
      await child.exited;
      await eventually(async () => !(await answers(port)), "rabbitmq-server being gone");
    },
    async [Symbol.asyncDispose]() {
      await broker.kill();
      // The name server was started by the node, and outlives it; it refuses to end until it has noticed the node's death.
      await eventually(async () => {
        const child = Bun.spawn(["epmd", "-port", `${epmdPort}`, "-kill"], { stdio: ["ignore", "pipe", "ignore"] });
        const said = await new Response(child.stdout).text();
        await child.exited;
        return !said.includes("not allowed");
      }, "the end of Erlang's name server");
      folder.remove();
    },
  };
  await broker.start();
  return broker;
}

async function answers(port: number): Promise<boolean> {
  try {
    const connection = await connect(
      {
        hostname: "127.0.0.1",
        port,
        username: RABBIT_USER.user,
        password: RABBIT_USER.password,
      },
      { timeout: 2_000 },
    );
    await connection.close();
    return true;
  } catch {
    return false;
  }
}
