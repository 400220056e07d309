import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "../../../src/sdk/client/client.ts";
import type { Client } from "../../../src/sdk/client/operations.ts";
import { BINARY, type Running, run, start } from "./binary.ts";
import { Secrets } from "./secrets.ts";

/**
 * A Core and an edge as an operator has them: certificates by `pki`, a configuration file each, processes of the binary. When
 * it is over, what they printed is searched for the keys that were made meanwhile.
 */
export class Deployment implements AsyncDisposable {
  readonly #processes: Running[] = [];
  readonly #secrets = new Secrets();
  readonly folder = mkdtempSync(join(tmpdir(), "crypto-edge-e2e-"));
  core: Running | undefined;
  edge: Running | undefined;
  corePort = 0;
  /** Where the edge finds the Core, when that is not the Core's own port: something stands between. */
  portForEdge: number | undefined;
  /** Further top-level keys of the Core's configuration. */
  coreExtra = "";
  /** The edge's HTTP address; a fixed port once it has had one. */
  edgeUrl = "http://127.0.0.1:0";
  /** What runs the edge's command line, such as a tracer; the binary itself where it is empty. */
  edgeCommand: readonly string[] = [];

  constructor() {
    const pki = (...args: string[]): void => {
      const { code, stderr } = run(["pki", ...args, "--dir", "pki"], { cwd: this.folder });
      if (code !== 0) throw new Error(`pki ${args.join(" ")}: ${stderr}`);
    };
    pki("init", "--trust-domain", "example.org");
    pki("core", "--ip", "127.0.0.1", "--dns", "localhost");
    pki("core", "--admin");
    pki("edge", "edge-1");
    const masterKey = randomBytes(32);
    this.#secrets.add(masterKey);
    writeFileSync(this.file("master.key"), masterKey, { mode: 0o600 });
  }

  file(name: string): string {
    return join(this.folder, name);
  }

  get client(): Client {
    return this.#secrets.watching(createClient({ url: this.edgeUrl }));
  }

  /** Starts the Core, or starts it again at the same port with the same database. `lease` as in core.yaml. */
  async startCore(lease = "{ ttl: 5m, refresh_after: 4m }"): Promise<Running> {
    writeFileSync(
      this.file("core.yaml"),
      `listen: "127.0.0.1:${this.corePort}"
database: core.sqlite
master_key: { file: master.key }
tls: { cert: pki/core.pem, key: pki/core.key, client_ca: pki/ca.pem }
allow:
  - { edges: ["*"], tenants: ["*"], services: ["*"] }
lease: ${lease}
${this.coreExtra}`,
    );
    this.core = start(["core", "serve", "--config", "core.yaml"], { cwd: this.folder });
    this.#processes.push(this.core);
    const [, port] = await this.core.waitFor(/ready on https:\/\/127\.0\.0\.1:(\d+)/);
    this.corePort = Number(port);
    return this.core;
  }

  /** An administrator's command at the Core. */
  admin(...args: string[]): string {
    const { code, stdout, stderr } = run(["core", ...args, "--url", `https://127.0.0.1:${this.corePort}`], {
      cwd: this.folder,
    });
    if (code !== 0) throw new Error(`core ${args.join(" ")}: ${stderr}${stdout}`);
    return stdout;
  }

  /** Starts the edge, or starts it again at the same port. `extra` are further top-level keys of its configuration. */
  async startEdge(extra = ""): Promise<Running> {
    writeFileSync(
      this.file("edge.yaml"),
      `edge: { id: edge-1 }
key_source:
  use: core
  core: { url: "https://127.0.0.1:${this.portForEdge ?? this.corePort}", ca: pki/ca.pem, cert: pki/edge-1.pem, key: pki/edge-1.key }
listeners:
  - { http: "${this.edgeUrl.slice("http://".length)}", principal: local }
policies:
  - { principals: [local], tenants: ["tenant-*"], services: ["*"], operations: [create, decrypt, rewrap] }
${extra}`,
    );
    const [command = BINARY, ...before] = this.edgeCommand;
    const args = this.edgeCommand.length === 0 ? [] : [...before, BINARY];
    this.edge = start([...args, "serve", "--config", "edge.yaml"], { cwd: this.folder, command });
    this.#processes.push(this.edge);
    const [, url] = await this.edge.waitFor(/"addresses":\["(http:[^"]+)"/);
    this.edgeUrl = url!;
    return this.edge;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.edge?.stop("SIGKILL"), this.core?.stop("SIGKILL")]);
    rmSync(this.folder, { recursive: true, force: true });
    this.#secrets.expectNoneIn(this.#processes);
  }
}
