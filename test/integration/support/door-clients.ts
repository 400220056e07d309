/**
 * The clients that the front doors are tried with, fetched from the registries once and kept in the cache folder of this user: their
 * versions are here, in `clients/…/requirements.txt` and in the `go.mod` files, and nowhere else.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";

export const CLIENTS = resolve(import.meta.dir, "../clients");
const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "crypto-edge-door-clients");
export const SOPS_VERSION = "3.13.3";
export const MINIO_VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c";
export const NODE_VAULT_VERSION = "0.12.0";
export const AWS_ESDK_JS_VERSION = "5.0.2";

export interface Ran {
  readonly code: number;
  readonly output: string;
}

/** Runs a client without blocking this process, whose edge it may call. */
export async function runClient(
  command: readonly string[],
  env: Readonly<Record<string, string>>,
  options: { cwd?: string; timeoutMs?: number } = {},
): Promise<Ran> {
  const child = Bun.spawn([...command], {
    cwd: options.cwd ?? CLIENTS,
    // Neither this machine's proxies nor its credentials.
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: options.timeoutMs ?? 120_000,
  });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, output: out + err };
}

/** A folder of the cache, made by `make` in the place of one that is not finished; by the hash of what decides its contents. */
async function cached(
  name: string,
  inputs: readonly string[],
  make: (folder: string) => Promise<void>,
): Promise<string> {
  const hash = createHash("sha256");
  for (const input of inputs) hash.update(input).update("\0");
  const folder = join(CACHE, `${name}-${hash.digest("hex").slice(0, 16)}`);
  if (existsSync(join(folder, ".made"))) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(dirname(folder), { recursive: true });
  mkdirSync(folder);
  await make(folder);
  await Bun.write(join(folder, ".being-made"), "");
  renameSync(join(folder, ".being-made"), join(folder, ".made"));
  return folder;
}

async function demand(
  command: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const { code, output } = await runClient(command, { ...passOn(), ...env }, { cwd, timeoutMs: 900_000 });
  if (code !== 0) throw new Error(`${command.join(" ")} failed:\n${output.slice(-4_000)}`);
}

/** What package managers may need to reach their registries. */
function passOn(): Record<string, string> {
  const names =
    /^(https?_proxy|no_proxy|pip_.*|npm_config_.*|go[a-z]+|ssl_cert_.*|requests_ca_bundle|node_extra_ca_certs)$/i;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => names.test(name))) as Record<string, string>;
}

/** The interpreter of a virtual environment with what `clients/FILE` lists. */
export async function python(file: string): Promise<string> {
  const requirements = join(CLIENTS, file);
  const folder = await cached("python", [readFileSync(requirements, "utf8")], async (made) => {
    await demand(["python3", "-m", "venv", made], CLIENTS);
    await demand([join(made, "bin/pip"), "install", "-q", "--disable-pip-version-check", "-r", requirements], CLIENTS);
  });
  return join(folder, "bin/python");
}

/** The versions that a requirements file pins. */
export function pinned(file: string): ReadonlyMap<string, string> {
  const lines = readFileSync(join(CLIENTS, file), "utf8").split("\n");
  return new Map(
    lines
      .map((line) => /^([\w-]+)(?:\[\w+\])?==(\S+)$/.exec(line))
      .flatMap((match) => (match === null ? [] : [[match[1]!, match[2]!] as const])),
  );
}

/** The programs of a Go module in `clients/`, built. */
export async function goPrograms(module: string, packages: readonly string[] = ["."]): Promise<string> {
  const source = join(CLIENTS, module);
  const files = (readdirSync(source, { recursive: true }) as string[])
    .filter((file) => /\.(go|mod|sum)$/.test(file))
    .sort();
  return cached(
    `go-${module.replaceAll("/", "-")}`,
    files.map((file) => readFileSync(join(source, file), "utf8")),
    (made) => demand(["go", "build", "-o", `${made}/`, ...packages], source, { GOFLAGS: "-buildvcs=false" }),
  );
}

/** The version of a module that a `go.mod` requires. */
export function goVersion(module: string, name: string): string {
  const text = readFileSync(join(CLIENTS, module, "go.mod"), "utf8");
  return new RegExp(`${name.replaceAll(".", "\\.")} v(\\S+)`).exec(text)?.[1] ?? "unknown";
}

export async function sops(): Promise<string> {
  const folder = await cached("sops", [SOPS_VERSION], (made) =>
    demand(["go", "install", `github.com/getsops/sops/v3/cmd/sops@v${SOPS_VERSION}`], CLIENTS, { GOBIN: made }),
  );
  return join(folder, "sops");
}

/** A MinIO server. The build takes some minutes of processor time. */
export async function minio(): Promise<string> {
  const folder = await cached("minio", [MINIO_VERSION], (made) =>
    demand(["go", "install", `github.com/minio/minio@${MINIO_VERSION}`], CLIENTS, { GOBIN: made }),
  );
  return join(folder, "minio");
}

/** A folder whose `node_modules` has node-vault and the AWS Encryption SDK. */
export function npmPackages(): Promise<string> {
  const packages = [`node-vault@${NODE_VAULT_VERSION}`, `@aws-crypto/client-node@${AWS_ESDK_JS_VERSION}`];
  return cached("npm", packages, async (made) => {
    await Bun.write(join(made, "package.json"), "{}");
    await demand(["npm", "install", "--no-audit", "--no-fund", "--silent", ...packages], made);
  });
}
