/** An edge as a process of its own, with every kind of listener, to be attacked from here. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { makeAuthority, type TestCertificate } from "./certificates.ts";

const root = resolve(import.meta.dir, "../..");

export interface AttackedEdge {
  readonly pid: number;
  readonly httpPort: number;
  readonly httpsPort: number;
  readonly unixPath: string;
  readonly ca: string;
  /** Two callers, each allowed its own tenant and all of `shared-*`. */
  readonly alice: TestCertificate;
  readonly mallory: TestCertificate;
  /** Resident memory, in bytes. */
  residentBytes(): number;
  openFiles(): number;
  log(): string;
  /** Kills it; resolves to what it ended with. */
  stop(): Promise<number | string>;
  readonly ended: Promise<number | string>;
}

export interface AttackedEdgeOptions {
  /** The compiled executable; without it the sources are run. */
  readonly binary?: string | undefined;
  /** Lines for the section `limits:`. */
  readonly limits?: Readonly<Record<string, string | number>>;
  /** Patterns of the tenants that the callers on this machine are allowed. */
  readonly tenants?: readonly string[];
  /** Where its long turns are written to (`turn-meter/plugin.ts`). */
  readonly longTurns?: string;
  /** What it is started by, such as `taskset`. */
  readonly startedBy?: readonly string[];
}

export async function startAttackedEdge(options: AttackedEdgeOptions = {}): Promise<AttackedEdge> {
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-attacked-"));
  const authority = await makeAuthority();
  const server = await authority.issue({ dns: ["localhost"], ip: ["127.0.0.1"] });
  const alice = await authority.issue({ uris: ["spiffe://example.org/alice"] });
  const mallory = await authority.issue({ uris: ["spiffe://example.org/mallory"] });
  writeFileSync(join(folder, "cert.pem"), server.certificate);
  writeFileSync(join(folder, "key.pem"), server.key);
  writeFileSync(join(folder, "ca.pem"), authority.certificate);
  const key = (tenant: string, byte: string) => ({
    tenant,
    service: "billing",
    version: 1,
    state: "active",
    key: byte.repeat(32),
  });
  writeFileSync(
    join(folder, "edge.yaml"),
    `edge: { id: edge-attacked }
key_source: { use: static, static: { keys: ${JSON.stringify([key("tenant-a", "a1"), key("tenant-m", "b2")])} } }
listeners:
  - { http: "127.0.0.1:0", principal: local }
  - { unix: edge.sock, mode: "0600", principal: socket }
  - { https: "127.0.0.1:0", cert: cert.pem, key: key.pem, client_ca: ca.pem }
policies:
  - { principals: [local, socket, "spiffe://example.org/alice"], tenants: ${JSON.stringify(options.tenants ?? ["tenant-a"])}, services: ["*"], operations: [create, decrypt, rewrap] }
  - { principals: ["spiffe://example.org/mallory"], tenants: [tenant-m], services: ["*"], operations: [create, decrypt, rewrap] }
limits: ${JSON.stringify(options.limits ?? {})}
plugins: ${JSON.stringify(["plugins/static", ...(options.longTurns === undefined ? [] : ["test/support/turn-meter"])].map((folder) => resolve(root, folder)))}
${options.longTurns === undefined ? "" : `audit: { operations: none, sinks: [{ use: turn-meter, turn-meter: { file: ${JSON.stringify(options.longTurns)} } }] }`}
key_memory: { dumpable: true }
`,
  );
  const logFile = join(folder, "log");
  const logDescriptor = openSync(logFile, "w");
  const [command, ...first] = [
    ...(options.startedBy ?? []),
    ...(options.binary === undefined ? [process.execPath, join(root, "src/main.ts")] : [options.binary]),
  ];
  const child: ChildProcess = spawn(command!, [...first, "serve", "--config", join(folder, "edge.yaml")], {
    stdio: ["ignore", logDescriptor, logDescriptor],
  });
  closeSync(logDescriptor);
  const killAtExit = (): void => void child.kill("SIGKILL");
  process.once("exit", killAtExit);
  const ended = new Promise<number | string>((resolveEnded) => {
    child.once("close", (code, signal) => resolveEnded(code ?? signal ?? "unknown"));
  });
  const log = (): string => readFileSync(logFile, "utf8");
  const addresses = await readyAddresses(log, ended);
  const portOf = (scheme: string): number => Number(new URL(addresses.find((each) => each.startsWith(scheme))!).port);
  const proc = (name: string): string => `/proc/${child.pid}/${name}`;
  return {
    pid: child.pid!,
    httpPort: portOf("http:"),
    httpsPort: portOf("https:"),
    unixPath: join(folder, "edge.sock"),
    ca: authority.certificate,
    alice,
    mallory,
    residentBytes: () => 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(proc("status"), "utf8"))?.[1]),
    openFiles: () => readdirSync(proc("fd")).length,
    log,
    ended,
    async stop() {
      child.kill("SIGTERM");
      const cut = setTimeout(() => child.kill("SIGKILL"), 15_000);
      const result = await ended;
      clearTimeout(cut);
      process.off("exit", killAtExit);
      rmSync(folder, { recursive: true, force: true });
      return result;
    },
  };
}

async function readyAddresses(log: () => string, ended: Promise<unknown>): Promise<string[]> {
  let over = false;
  void ended.then(() => {
    over = true;
  });
  for (let waited = 0; waited < 1_000; waited++) {
    for (const line of log().split("\n")) {
      if (!line.includes('"ready"')) continue;
      return (JSON.parse(line) as { addresses: string[] }).addresses;
    }
    if (over) break;
    await Bun.sleep(20);
  }
  throw new Error(`the edge did not start:\n${log()}`);
}
