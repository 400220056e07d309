import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { BINARY, type Running, run, start } from "../../e2e/support/binary.ts";

const SOURCE = resolve(import.meta.dir, "../../../src/main.ts");
/** The compiled program where it was built, as CI does; else the source. */
const COMMAND: readonly [string, ...string[]] = existsSync(BINARY) ? [BINARY] : [process.execPath, SOURCE];

export const ACCESS_KEY = { id: "AKIDTEST0000000000001", secret: "secret/test+key" };
export const ACCOUNT = "111122223333";
const ISSUER = { issuer: "https://issuer.example.org", audience: "crypto-edge" };

/**
 * A Core and edges whose listeners have the front doors, as an operator would run them: processes, certificates of `pki`, keys made and
 * rotated by `core`.
 */
export class DoorDeployment implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "crypto-edge-doors-"));
  #core: Running | undefined;
  readonly #edges: Running[] = [];
  #corePort = 0;
  /** A token of the issuer that the https listener takes. */
  token = "";

  static async start(services: readonly string[]): Promise<DoorDeployment> {
    const deployment = new DoorDeployment();
    await deployment.#prepare();
    await deployment.startCore();
    for (const pair of services) deployment.core("service", "create", ...pair.split("/"));
    return deployment;
  }

  file(name: string): string {
    return join(this.folder, name);
  }

  #run(...args: string[]): string {
    const [command, ...before] = COMMAND;
    const { code, stdout, stderr } = run([...before, ...args], { cwd: this.folder, command });
    if (code !== 0) throw new Error(`${args.join(" ")}: ${stderr}${stdout}`);
    return stdout;
  }

  async #prepare(): Promise<void> {
    this.#run("pki", "init", "--trust-domain", "example.org");
    this.#run("pki", "core", "--ip", "127.0.0.1", "--dns", "localhost");
    this.#run("pki", "core", "--admin");
    this.#run("pki", "edge", "edge-1");
    this.#run("pki", "client", "server", "--ip", "127.0.0.1", "--dns", "localhost", "--out", "server");
    this.#run("pki", "client", "billing/api", "--out", "client");
    writeFileSync(this.file("master.key"), randomBytes(32), { mode: 0o600 });
    writeFileSync(this.file("access.secret"), ACCESS_KEY.secret, { mode: 0o600 });
    const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
    writeFileSync(
      this.file("jwks.json"),
      JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: "k", alg: "ES256" }] }),
    );
    this.token = await new SignJWT({})
      .setProtectedHeader({ alg: "ES256", kid: "k" })
      .setIssuer(ISSUER.issuer)
      .setAudience(ISSUER.audience)
      .setSubject("billing-service")
      .setExpirationTime("2h")
      .sign(privateKey);
  }

  /** Starts the Core, or starts it again with the same keys. */
  async startCore(): Promise<void> {
    writeFileSync(
      this.file("core.yaml"),
      `listen: "127.0.0.1:${this.#corePort}"
database: core.sqlite
master_key: { file: master.key }
tls: { cert: pki/core.pem, key: pki/core.key, client_ca: pki/ca.pem }
allow: [{ edges: ["*"], tenants: ["*"], services: ["*"] }]
`,
    );
    this.#core = this.#start("core", "serve", "--config", "core.yaml");
    const [, port] = await this.#core.waitFor(/ready on https:\/\/127\.0\.0\.1:(\d+)/);
    this.#corePort = Number(port);
  }

  async stopCore(): Promise<void> {
    await this.#core?.stop("SIGKILL");
  }

  get coreUrl(): string {
    return `https://127.0.0.1:${this.#corePort}`;
  }

  /** An administrator's command. */
  core(...args: string[]): string {
    return this.#run("core", ...args, "--url", this.coreUrl);
  }

  #start(...args: string[]): Running {
    const [command, ...before] = COMMAND;
    return start([...before, ...args], { cwd: this.folder, command });
  }

  /** `crypto-edge dev` on a free port, until it has said all that it says. */
  async dev(): Promise<string> {
    const dev = this.#start("dev", "--port", "0");
    this.#edges.push(dev);
    await dev.waitFor(/^ready /m);
    return dev.output();
  }

  /** Starts an edge. Its addresses in the order of `listeners`, which are entries of the configuration, as are `policies`. */
  async startEdge(
    name: string,
    listeners: string,
    extra = "",
    policies = "",
  ): Promise<{ addresses: readonly string[]; edge: Running }> {
    writeFileSync(
      this.file(`${name}.yaml`),
      `edge: { id: edge-1 }
key_source:
  use: core
  core: { url: "https://127.0.0.1:${this.#corePort}", ca: pki/ca.pem, cert: pki/edge-1.pem, key: pki/edge-1.key, timeout: 2s }
listeners:
${listeners}
doors:
  aws-kms:
    account: "${ACCOUNT}"
    keys: { alias/my-app: { tenant: tenant-a, service: billing } }
    access_keys: [{ id: ${ACCESS_KEY.id}, secret: "file:access.secret" }]
  kubernetes-kms: { tenant: cluster-1, service: etcd }
policies:
  - principals: [local, "access-key:${ACCESS_KEY.id}", "token:billing-service", "spiffe://example.org/billing/*"]
    tenants: ["tenant-*", nosuch]
    services: [billing, payments, "x", "nosuch.x"]
    operations: [create, encrypt, decrypt, rewrap]
${listeners.includes("kube-apiserver") ? "  - { principals: [kube-apiserver], tenants: [cluster-1], services: [etcd], operations: [encrypt, decrypt] }" : ""}
${policies}
${extra}`,
    );
    const edge = this.#start("serve", "--config", `${name}.yaml`);
    this.#edges.push(edge);
    const [, addresses] = await edge.waitFor(/"addresses":(\["[^\]]*\])/);
    return { addresses: JSON.parse(addresses!) as string[], edge };
  }

  /** The https listener's entry: certificates of this deployment, tokens, access keys. */
  https(doors: string): string {
    return `  - { https: "127.0.0.1:0", cert: pki/server.pem, key: pki/server.key, client_ca: pki/ca.pem, min_tls: "1.2", doors: [${doors}], tokens: [{ issuer: "${ISSUER.issuer}", audience: ${ISSUER.audience}, jwks: jwks.json }] }`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#edges, this.#core].map((process) => process?.stop("SIGKILL")));
    rmSync(this.folder, { recursive: true, force: true });
  }
}
