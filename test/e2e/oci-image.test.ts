/** The container image: made twice with the same bytes, unpacked, and run as its user on a file system that it can't write to. */
import { afterAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeOciImage } from "../../scripts/oci-image.ts";
import { VERSION } from "../../src/base/version.ts";
import { BINARY } from "./support/binary.ts";

const folder = mkdtempSync(join(tmpdir(), "crypto-edge-image-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const json = (path: string) => JSON.parse(readFileSync(path, "utf8"));
const sha256 = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

function run(command: readonly string[]) {
  const child = Bun.spawnSync(command as string[]);
  return { code: child.exitCode, out: child.stdout.toString(), err: child.stderr.toString() };
}

test("the image is the same bytes whenever it is made, and every blob is what its digest says", () => {
  const one = makeOciImage(BINARY, join(folder, "one.tar"), 1_700_000_000);
  const two = makeOciImage(BINARY, join(folder, "two.tar"), 1_700_000_000);
  expect(two.digest).toBe(one.digest);
  expect(sha256(two.path)).toBe(sha256(one.path));
  mkdirSync(join(folder, "layout"));
  expect(run(["tar", "-C", join(folder, "layout"), "-xf", one.path]).code).toBe(0);
  const blob = (digest: string): string => join(folder, "layout/blobs/sha256", digest.slice("sha256:".length));
  const { manifests } = json(join(folder, "layout/index.json"));
  expect(manifests[0].digest).toBe(one.digest);
  // By which podman and containerd call it, and so the manifests.
  expect(manifests[0].annotations).toEqual({
    "org.opencontainers.image.ref.name": `crypto-edge:${VERSION}`,
    "io.containerd.image.name": `docker.io/library/crypto-edge:${VERSION}`,
  });
  const manifest = json(blob(one.digest));
  const config = json(blob(manifest.config.digest));
  for (const { digest, size } of [manifest.config, ...manifest.layers]) {
    expect(`sha256:${sha256(blob(digest))}`).toBe(digest);
    expect(readFileSync(blob(digest)).length).toBe(size);
  }
  expect(config.config.User).toBe("65532:65532");
  mkdirSync(join(folder, "root"));
  for (const { digest } of manifest.layers) {
    expect(run(["tar", "-C", join(folder, "root"), "-xzf", blob(digest)]).code).toBe(0);
  }
}, 300_000);

test("it runs as nobody in particular, without a shell, on a root that it can't write to", () => {
  const root = join(folder, "root");
  const script = [
    `mount --bind ${root} ${root}`,
    `mount -o remount,bind,ro ${root}`,
    `mount -t proc proc ${root}/proc`,
    `exec chroot --userspec=65532:65532 --groups= ${root} /crypto-edge "$@"`,
  ].join(" && ");
  const crypto = (...args: string[]) =>
    run([...asRoot(), "unshare", "--mount", "--pid", "--fork", "sh", "-c", script, "sh", ...args]);
  const version = crypto("version", "--json");
  expect(version.err).toBe("");
  expect(JSON.parse(version.out)).toMatchObject({ version: expect.any(String) });
  // It makes and opens keys, by the libcrypto of the image.
  const bench = crypto("bench", "--seconds", "0.2", "--json");
  expect(JSON.parse(bench.out).cipher.length).toBeGreaterThan(0);
  expect(crypto("config", "check", "/etc/crypto-edge/edge.yaml").err).toContain("can't be read (ENOENT)");
}, 300_000);

function asRoot(): string[] {
  return process.getuid?.() === 0 ? [] : ["sudo", "-n"];
}
