/**
 * A container image of the executable, in the OCI layout, made without a container engine: `sh scripts/bun.sh scripts/oci-image.ts` writes
 * dist/crypto-edge-oci.tar from dist/crypto-edge. Two layers: the system's libraries that the executable links to, and the executable. The same
 * inputs make the same bytes. Load it with `podman load`, `skopeo copy oci-archive:…`, `ctr image import`.
 *
 * https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
 */
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { VERSION } from "../src/base/version.ts";
import { print } from "../src/cli/print.ts";

const ROOT = resolve(import.meta.dir, "..");
/** As deploy/kubernetes has it. */
export const IMAGE_NAME = `crypto-edge:${VERSION}`;
const USER = 65_532;
/** Loaded while it runs: the cryptography of the adapter `openssl`, and names of hosts. */
const LOADED_LATER = ["libcrypto.so.3", "libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2"];
const ACCOUNTS: Readonly<Record<string, string>> = {
  "etc/passwd": `root:x:0:0:root:/:/sbin/nologin\nnonroot:x:${USER}:${USER}:nonroot:/:/sbin/nologin\n`,
  "etc/group": `root:x:0:\nnonroot:x:${USER}:\n`,
  "etc/nsswitch.conf": "hosts: files dns\n",
};
const FOLDERS = ["proc", "dev", "sys", "tmp", "run", "run/crypto-edge", "etc/crypto-edge"];

export interface OciImage {
  readonly path: string;
  /** Of the manifest. */
  readonly digest: string;
}

export function makeOciImage(binary: string, output: string, epochSeconds: number): OciImage {
  const work = mkdtempSync(join(tmpdir(), "crypto-edge-oci-"));
  try {
    const layers = [systemLayer(work, binary), binaryLayer(work, binary)].map((folder) =>
      packLayer(folder, epochSeconds),
    );
    const layout = join(work, "layout");
    mkdirSync(join(layout, "blobs/sha256"), { recursive: true });
    const blob = (content: Uint8Array): { digest: string; size: number } => {
      const hex = sha256(content);
      writeFileSync(join(layout, "blobs/sha256", hex), content);
      return { digest: `sha256:${hex}`, size: content.length };
    };
    const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));
    const created = new Date(epochSeconds * 1000).toISOString();
    const labels = {
      "org.opencontainers.image.title": "crypto-edge",
      "org.opencontainers.image.version": VERSION,
      "org.opencontainers.image.licenses": "Apache-2.0",
      "org.opencontainers.image.created": created,
    };
    const config = blob(
      json({
        created,
        architecture: process.arch === "x64" ? "amd64" : process.arch,
        os: "linux",
        config: {
          User: `${USER}:${USER}`,
          Entrypoint: ["/crypto-edge"],
          Cmd: ["--help"],
          WorkingDir: "/",
          Labels: labels,
          // Docker's own, which the specification of OCI leaves room for: the executable asks itself.
          Healthcheck: {
            Test: ["CMD", "/crypto-edge", "status"],
            Interval: 10_000_000_000,
            Timeout: 5_000_000_000,
            StartPeriod: 5_000_000_000,
          },
        },
        rootfs: { type: "layers", diff_ids: layers.map(({ tar }) => `sha256:${sha256(tar)}`) },
        history: [
          { created, created_by: "the system's libraries that the executable links to" },
          { created, created_by: "crypto-edge" },
        ],
      }),
    );
    const manifest = blob(
      json({
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
        layers: layers.map(({ gzip }) => ({ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", ...blob(gzip) })),
        annotations: labels,
      }),
    );
    writeFileSync(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
    writeFileSync(
      join(layout, "index.json"),
      JSON.stringify({
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.index.v1+json",
        manifests: [
          {
            mediaType: "application/vnd.oci.image.manifest.v1+json",
            ...manifest,
            platform: { architecture: process.arch === "x64" ? "amd64" : process.arch, os: "linux" },
            // What the manifests call it: by the first for podman and skopeo, by the second for containerd, which wants a registry's name too.
            annotations: {
              "org.opencontainers.image.ref.name": IMAGE_NAME,
              "io.containerd.image.name": `docker.io/library/${IMAGE_NAME}`,
            },
          },
        ],
      }),
    );
    writeFileSync(output, tarOf(layout, epochSeconds, 0));
    return { path: output, digest: manifest.digest };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The libraries of this machine that the executable links to, or loads while it runs. */
export function systemLibraries(binary: string): ReadonlySet<string> {
  const linked = run("ldd", [binary]).matchAll(/(?:=> )?(\/\S+) \(0x/g);
  const paths = [...linked].map(([, path]) => path!);
  const libraries = new Map<string, string>();
  for (const line of run("ldconfig", ["-p"]).split("\n")) {
    const [, name, path] = /^\s*(\S+) .* => (\S+)$/.exec(line) ?? [];
    // The first of a name is this machine's own kind.
    if (name !== undefined && path !== undefined && !libraries.has(name)) libraries.set(name, path);
  }
  const folders = new Set(paths.map((path) => dirname(path)));
  for (const name of LOADED_LATER) {
    const beside = [...folders].map((each) => join(each, name)).find((each) => existsSync(each));
    const path = beside ?? libraries.get(name);
    if (path !== undefined) paths.push(path);
  }
  return new Set(paths);
}

function systemLayer(work: string, binary: string): string {
  const folder = join(work, "system");
  for (const name of FOLDERS) mkdirSync(join(folder, name), { recursive: true });
  for (const [path, text] of Object.entries(ACCOUNTS)) writeFileSync(join(folder, path), text);
  for (const path of systemLibraries(binary)) {
    const target = join(folder, path);
    mkdirSync(dirname(target), { recursive: true });
    // Under the name that it is loaded by; what a link points to has the version in its name.
    copyFileSync(realpathSync(path), target);
  }
  return folder;
}

function binaryLayer(work: string, binary: string): string {
  const folder = join(work, "binary");
  mkdirSync(folder);
  copyFileSync(binary, join(folder, "crypto-edge"));
  return folder;
}

function packLayer(folder: string, epochSeconds: number): { readonly tar: Buffer; readonly gzip: Buffer } {
  const tar = tarOf(folder, epochSeconds, USER);
  return { tar, gzip: gzipSync(tar, { level: 6 }) };
}

/** Byte for byte the same for the same files, whenever and by whomever it is made. */
function tarOf(folder: string, epochSeconds: number, owner: number): Buffer {
  const output = `${folder}.tar`;
  run("tar", [
    ...["--create", "--file", output, "--directory", folder, "--format=ustar", "--sort=name"],
    ...[`--mtime=@${epochSeconds}`, `--owner=${owner}`, `--group=${owner}`, "--numeric-owner", "--mode=u+rw,go-w,a+rX"],
    ...run("ls", ["-A", folder]).trim().split("\n"),
  ]);
  return readFileSync(output);
}

function sha256(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

function run(program: string, args: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([program, ...args], { env: { ...process.env, LC_ALL: "C" } });
  if (exitCode !== 0) throw new Error(`${program} ${args.join(" ")}: ${stderr.toString()}`);
  return stdout.toString();
}

if (import.meta.main) {
  const binary = join(ROOT, "dist/crypto-edge");
  if (!statSync(binary, { throwIfNoEntry: false })?.isFile())
    throw new Error("there is no dist/crypto-edge: `npm run build` first");
  const time = Bun.spawnSync(["git", "show", "-s", "--format=%ct", "HEAD"], { cwd: ROOT });
  const { path, digest } = makeOciImage(
    binary,
    join(ROOT, "dist/crypto-edge-oci.tar"),
    Number(time.stdout.toString().trim()) || 0,
  );
  print(`${basename(path)}  ${digest}`);
}
