/** A systemd of its own, as the first process of namespaces over this machine's files: units run by the real thing, and nothing is left of it. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Running, run, start } from "./binary.ts";

const PATIENCE_MS = 60_000;

export class Systemd implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "crypto-edge-systemd-"));
  readonly #boot: Running;
  /** The first process, by this machine's numbers. */
  #pid = 0;

  static async boot(): Promise<Systemd> {
    const systemd = new Systemd();
    try {
      await systemd.#ready();
      return systemd;
    } catch (error) {
      await systemd[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor() {
    this.#boot = start([join(import.meta.dir, "boot-systemd.sh"), this.#folder], { command: "sh" });
  }

  /** A path inside, as processes of this machine see it. */
  path(inside: string): string {
    return `/proc/${this.#pid}/root${inside}`;
  }

  /** Runs a script inside, to its end. */
  attempt(script: string): { code: number; stdout: string; stderr: string } {
    return run([...this.#entrance(), script], { command: "nsenter", env: ENVIRONMENT });
  }

  /** @returns what it printed. */
  succeed(script: string): string {
    const { code, stdout, stderr } = this.attempt(script);
    if (code !== 0) throw new Error(`${script}: ${code}: ${stdout}${stderr}`);
    return stdout;
  }

  /** As `attempt`, while this process goes on. */
  start(script: string): Running {
    return start([...this.#entrance(), script], { command: "nsenter", env: ENVIRONMENT });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // All others in its namespace end with it.
    if (this.#pid !== 0) process.kill(this.#pid, "SIGKILL");
    else await this.#boot.stop("SIGKILL");
    await this.#boot.ended;
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #entrance(): string[] {
    return ["-t", String(this.#pid), "-m", "-p", "-u", "-i", "-C", "-r", "-w", "sh", "-c"];
  }

  async #ready(): Promise<void> {
    const endMs = performance.now() + PATIENCE_MS;
    for (;;) {
      this.#pid = findFirst(this.#boot.pid);
      const state = this.#pid === 0 ? "" : this.attempt("systemctl is-system-running").stdout.trim();
      // A unit of this machine that fails in there is none of ours.
      if (state === "running" || state === "degraded") return;
      if (performance.now() > endMs) throw new Error(`systemd is ${state || "not there"}: ${this.#boot.output()}`);
      await Bun.sleep(200);
    }
  }
}

const ENVIRONMENT = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C.UTF-8" };

/** systemd among a process's descendants, or 0. */
function findFirst(pid: number): number {
  try {
    if (readFileSync(`/proc/${pid}/comm`, "utf8") === "systemd\n") return pid;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
    return children.filter(Boolean).reduce((found, child) => found || findFirst(Number(child)), 0);
  } catch {
    return 0;
  }
}
