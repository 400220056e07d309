/** Cores over one PostgreSQL, as processes, each with its own way to the database; and edges that know all of them. */
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createThrowAwayPki, type ThrowAwayPki } from "../../../src/base/pki/throw-away.ts";
import { type AdminClient, createAdminClient } from "../../../src/core/admin-client.ts";
import type { PostgresqlOptions } from "../../../src/core/store/open-store.ts";
import { freePort } from "../../support/free-port.ts";
import { eventually } from "../../support/until.ts";
import { type CutProxy, startCutProxy } from "./cut-proxy.ts";
import { type PostgresqlServer, startPostgresql } from "./postgresql.ts";

const MAIN = resolve(import.meta.dir, "../../../src/main.ts");

export interface CoreProcess {
  readonly url: string;
  /** Where /readyz is. */
  readonly watchUrl: string;
  readonly admin: AdminClient;
  /** Between this Core and the database. */
  readonly way: CutProxy;
  log(): string;
  start(): Promise<void>;
  kill(signal?: NodeJS.Signals): Promise<void>;
}

export interface EdgeProcess {
  readonly url: string;
  log(): string;
  kill(): Promise<void>;
}

export interface CoreCluster {
  readonly pki: ThrowAwayPki;
  readonly server: PostgresqlServer;
  readonly database: PostgresqlOptions;
  readonly cores: readonly CoreProcess[];
  edge(id: string, extra?: string): Promise<EdgeProcess>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface ClusterOptions {
  /** 32 bytes; else at random. */
  readonly masterKey?: Uint8Array;
  readonly formerMasterKey?: Uint8Array;
  /** Called before a Core starts. */
  readonly prepare?: (database: PostgresqlOptions) => Promise<void>;
}

export async function startCluster(count: number, given: ClusterOptions = {}): Promise<CoreCluster> {
  const folder = mkdtempSync(join(tmpdir(), "core-cluster-"));
  const pki = await createThrowAwayPki("example.org");
  const server = await startPostgresql();
  const options = await server.database("core");
  const { database } = options;
  const write = (name: string, text: string | Uint8Array): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  write("master.key", given.masterKey ?? randomBytes(32));
  if (given.formerMasterKey !== undefined) write("former.key", given.formerMasterKey);
  await given.prepare?.(options);
  write("core.pem", pki.core.cert);
  write("core.key", pki.core.key);
  write("ca.pem", pki.core.clientCa);
  const adminFiles = await pki.admin();
  const ended: (() => unknown)[] = [];
  const cores: CoreProcess[] = [];
  for (let index = 0; index < count; index++) {
    const way = await startCutProxy(server.port);
    const [port, watchPort] = [await freePort(), await freePort()];
    const file = write(
      `core-${index}.yaml`,
      `listen: "127.0.0.1:${port}"
name: core-${index}
database: { url: "postgres://core@127.0.0.1:${way.port}/${database}" }
master_key: { file: master.key }${given.formerMasterKey === undefined ? "" : "\nformer_master_key: { file: former.key }"}
tls: { cert: core.pem, key: core.key, client_ca: ca.pem }
allow: [{ edges: ["*"], tenants: ["*"], services: ["*"] }]
metrics: { listen: "127.0.0.1:${watchPort}" }
`,
    );
    const child = new Child(["core", "serve", "--config", file], folder);
    const url = `https://127.0.0.1:${port}`;
    const core: CoreProcess = {
      url,
      watchUrl: `http://127.0.0.1:${watchPort}`,
      way,
      admin: createAdminClient({ url, certificates: adminFiles }),
      log: () => child.output,
      start: () => child.start(/core: ready/),
      kill: (signal = "SIGKILL") => child.kill(signal),
    };
    ended.push(async () => {
      core.admin.close();
      way.close();
      await child.kill("SIGKILL");
    });
    cores.push(core);
  }
  await Promise.all(cores.map((core) => core.start()));
  return {
    pki,
    server,
    database: options,
    cores,
    async edge(id, extra = "") {
      const own = `edge-${id}`;
      mkdirSync(join(folder, own), { recursive: true });
      const { ca, cert, key } = await pki.edge(id);
      write(`${own}/ca.pem`, ca);
      write(`${own}/edge.pem`, cert);
      write(`${own}/edge.key`, key);
      const port = await freePort();
      const urls = cores.map(({ url }) => `"${url}"`).join(", ");
      const file = write(
        `${own}/edge.yaml`,
        `edge: { id: ${id} }
key_source:
  use: core
  core: { url: [${urls}], ca: ca.pem, cert: edge.pem, key: edge.key }
listeners: [{ http: "127.0.0.1:${port}", principal: local }]
policies: [{ principals: [local], tenants: ["*"], services: ["*"], operations: [create, decrypt] }]
${extra}`,
      );
      const child = new Child(["serve", "--config", file], join(folder, own));
      ended.push(() => child.kill("SIGKILL"));
      await child.start(/"addresses":/);
      return { url: `http://127.0.0.1:${port}`, log: () => child.output, kill: () => child.kill("SIGKILL") };
    },
    async [Symbol.asyncDispose]() {
      for (const end of ended.reverse()) await end();
      await server[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

class Child {
  readonly #arguments: readonly string[];
  readonly #folder: string;
  #process: Bun.Subprocess | undefined;
  output = "";

  constructor(args: readonly string[], folder: string) {
    this.#arguments = args;
    this.#folder = folder;
  }

  async start(ready: RegExp): Promise<void> {
    const from = this.output.length;
    const child = Bun.spawn([process.execPath, MAIN, ...this.#arguments], {
      cwd: this.#folder,
      env: { PATH: process.env.PATH ?? "" },
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#process = child;
    for (const stream of [child.stdout, child.stderr]) {
      void (async () => {
        for await (const chunk of stream) this.output += Buffer.from(chunk).toString();
      })();
    }
    await eventually(
      () => {
        if (child.exitCode !== null) throw new Error(`${this.#arguments.join(" ")} ended: ${this.output}`);
        return ready.test(this.output.slice(from));
      },
      `${this.#arguments.join(" ")} being ready`,
    );
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    this.#process?.kill(signal);
    if (signal === "SIGKILL" || signal === "SIGTERM") await this.#process?.exited;
  }
}
