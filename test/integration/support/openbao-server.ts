/** A real OpenBao (or Vault) as a development server: in memory, unsealed, KV version 2 at `secret/`, Transit with one key. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../support/free-port.ts";
import { eventually } from "../../support/until.ts";

export class OpenBaoServer {
  readonly address: string;
  readonly rootToken = "root-of-the-tests";
  readonly transitKey: string;
  readonly #program: string;
  readonly #folder = mkdtempSync(join(tmpdir(), "crypto-edge-bao-"));
  #child: Bun.Subprocess | undefined;

  private constructor(program: string, port: number, transitKey: string) {
    this.#program = program;
    this.address = `http://127.0.0.1:${port}`;
    this.transitKey = transitKey;
  }

  /** `program` as `openBaoProgram()` finds it. */
  static async start(program: string, transitKey: string): Promise<OpenBaoServer> {
    const server = new OpenBaoServer(program, await freePort(), transitKey);
    await server.start();
    return server;
  }

  /** Again at the same address, with nothing of what it knew. */
  async start(): Promise<void> {
    const listen = `-dev-listen-address=${new URL(this.address).host}`;
    const child = Bun.spawn(
      [this.#program, "server", "-dev", "-dev-no-store-token", `-dev-root-token-id=${this.rootToken}`, listen],
      { stdio: ["ignore", "ignore", "ignore"], env: { ...process.env, HOME: this.#folder } },
    );
    this.#child = child;
    await eventually(async () => {
      if (child.exitCode !== null) throw new Error("the server ended");
      const answer = await fetch(`${this.address}/v1/sys/health`).catch(() => undefined);
      return answer?.status === 200;
    }, "OpenBao being unsealed");
    await this.call("sys/mounts/transit", { type: "transit" });
    await this.call(`transit/keys/${this.transitKey}`, { type: "aes256-gcm96" });
  }

  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
  }

  /** @throws Error with the server's answer */
  async call(
    path: string,
    body?: object,
    token: string = this.rootToken,
    method = body ? "POST" : "GET",
  ): Promise<Record<string, unknown>> {
    const answer = await fetch(`${this.address}/v1/${path}`, {
      method,
      headers: { "x-vault-token": token },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
    return text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
