import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createThrowAwayPki, type ThrowAwayPki } from "../../../src/base/pki/throw-away.ts";
import { createSealer } from "../../../src/core/hpke.ts";
import { type Running, start } from "./binary.ts";

/** What a Core may do wrong, one at a time. */
export type Fault =
  | "none"
  | "never answers"
  | "answers slowly"
  | "answers with garbage"
  | "answers with a server error"
  | "grants another tenant"
  | "seals badly"
  | "has a certificate that expired";

const SLOW_MS = 1_000;
const SEALER = createSealer("crypto-edge lease v1");

/** A Core over real mTLS that can be made to fail, and an edge that leases from it. */
export class FaultyCore implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "crypto-edge-e2e-"));
  readonly #ttlSeconds: number;
  #fault: Fault = "none";
  #pki: ThrowAwayPki | undefined;
  #server: Server | undefined;
  #port = 0;
  edge: Running | undefined;
  edgeUrl = "";
  leaseCalls = 0;

  constructor(ttlSeconds: number) {
    this.#ttlSeconds = ttlSeconds;
  }

  async startWithEdge(): Promise<void> {
    this.#pki = await createThrowAwayPki("example.org");
    await this.#listen(new Date(Date.now() + 3_600_000));
    const files = await this.#pki.edge("edge-1");
    for (const [name, text] of Object.entries(files)) writeFileSync(join(this.folder, `${name}.pem`), text);
    writeFileSync(
      join(this.folder, "edge.yaml"),
      `edge: { id: edge-1 }
key_source:
  use: core
  core: { url: "https://127.0.0.1:${this.#port}", ca: ca.pem, cert: cert.pem, key: key.pem }
cache: { ttl: ${this.#ttlSeconds}s, refresh_after: 1s }
listeners:
  - { http: "127.0.0.1:0", principal: local }
policies:
  - { principals: [local], tenants: ["tenant-*"], services: ["*"], operations: [create, decrypt, rewrap] }
`,
    );
    this.edge = start(["serve", "--config", "edge.yaml"], { cwd: this.folder });
    const [, url] = await this.edge.waitFor(/"addresses":\["(http:[^"]+)"/);
    this.edgeUrl = url!;
  }

  async fail(fault: Fault): Promise<void> {
    const wasExpired = this.#fault === "has a certificate that expired";
    this.#fault = fault;
    if (fault === "has a certificate that expired") await this.#listen(new Date(Date.now() - 1_000));
    else if (wasExpired) await this.#listen(new Date(Date.now() + 3_600_000));
  }

  /** Listens, at the same port as before, with a certificate that ends then; connections from before end. */
  async #listen(notAfter: Date): Promise<void> {
    await this.#stop();
    const { certificate, key } = await this.#pki!.issue({
      identity: { kind: "core" },
      ip: ["127.0.0.1"],
      notBefore: new Date(Date.now() - 7_200_000),
      notAfter,
    });
    const options = { cert: certificate, key, ca: this.#pki!.authority.certificate, requestCert: true };
    const server = createServer({ ...options, rejectUnauthorized: true }, (request, response) => {
      void this.#answer(request, response).catch(() => response.destroy());
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.#port, "127.0.0.1", resolve));
    this.#port = (server.address() as AddressInfo).port;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url === "/core/v1/revocations") {
      response.writeHead(200, { "content-type": "text/event-stream" });
      const beat = (): void => {
        const data = JSON.stringify({ type: "heartbeat", log: "log-1", seq: 0, at: new Date().toISOString() });
        response.write(`event: heartbeat\nid: log-1:0\ndata: ${data}\n\n`);
      };
      beat();
      const timer = setInterval(beat, 500);
      response.on("close", () => clearInterval(timer));
      return;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (request.url !== "/core/v1/leases") {
      response.writeHead(200, { "content-type": "application/json" }).end('{"accepted":0,"duplicate":false}');
      return;
    }
    this.leaseCalls++;
    const { tenant, service, recipient } = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, string>;
    const fault = this.#fault;
    if (fault === "never answers") return;
    if (fault === "answers slowly") await new Promise((resume) => setTimeout(resume, SLOW_MS));
    if (fault === "answers with garbage") {
      response.writeHead(200, { "content-type": "application/json" }).end("\u0000%%% not json");
      return;
    }
    if (fault === "answers with a server error") {
      response.writeHead(500, { "content-type": "text/html" }).end("<h1>Oops</h1>");
      return;
    }
    const { enc, sealed } = SEALER.seal(
      Buffer.from(recipient!, "base64url"),
      new Uint8Array(32).fill(7),
      Buffer.from(`${tenant}/${service}/1`),
    );
    if (fault === "seals badly") sealed[0]! ^= 1;
    response.writeHead(200, { "content-type": "application/json" }).end(
      JSON.stringify({
        tenant: fault === "grants another tenant" ? "tenant-z" : tenant,
        service,
        ttl_seconds: 300,
        refresh_after_seconds: 240,
        log: "log-1",
        revocation_seq: 0,
        versions: [
          {
            version: 1,
            state: "active",
            enc: Buffer.from(enc).toString("base64url"),
            sealed: Buffer.from(sealed).toString("base64url"),
          },
        ],
      }),
    );
  }

  async #stop(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.edge?.stop("SIGKILL");
    await this.#stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
