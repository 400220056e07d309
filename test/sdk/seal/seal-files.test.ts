/** What `seal` and `open` do with things that are no plain files, and with the end of the program. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createCipheriv } from "node:crypto";
import {
  appendFileSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { CHUNK_LENGTH, SealedFileError, writeSealedHeader } from "../../../src/sdk/seal/format.ts";
import { openFile, sealFile } from "../../../src/sdk/seal/seal-file.ts";
import { type StaticEdge, startStaticEdge } from "../../support/static-edge.ts";
import { until } from "../../support/until.ts";

/** For a busy machine. */
setDefaultTimeout(60_000);

const MAIN = resolve(import.meta.dir, "../../../src/main.ts");
const KEY = { tenant: "tenant-a", service: "billing" };
const folder = mkdtempSync(join(tmpdir(), "crypto-edge-seal-"));
const path = (name: string): string => join(folder, name);
let edge: StaticEdge;
beforeAll(async () => {
  edge = await startStaticEdge();
});
afterAll(async () => {
  await edge.close();
  rmSync(folder, { recursive: true });
});

const job = (input: string, output: string, force = false) => ({
  edge: edge.client,
  input: resolve(folder, input),
  output: resolve(folder, output),
  force,
});

async function roundTrip(input: string): Promise<Uint8Array> {
  await sealFile(job(input, "sealed", true), KEY);
  await openFile(job("sealed", "opened", true));
  return readFileSync(path("opened"));
}

/** The command, as a process of its own. */
function start(args: readonly string[]): {
  child: ChildProcess;
  ended: Promise<{ code: number | null; stderr: string; stdout: Buffer }>;
} {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: folder,
    env: { ...process.env, CRYPTO_EDGE_URL: edge.url },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const stdout: Buffer[] = [];
  let stderr = "";
  child.stdout!.on("data", (bytes: Buffer) => void stdout.push(bytes));
  child.stderr!.on("data", (bytes: Buffer) => {
    stderr += bytes;
  });
  const ended = new Promise<{ code: number | null; stderr: string; stdout: Buffer }>((resolve) => {
    child.on("close", (code) => resolve({ code, stderr, stdout: Buffer.concat(stdout) }));
  });
  return { child, ended };
}

async function run(args: readonly string[], input: Uint8Array = new Uint8Array(0)) {
  const { child, ended } = start(args);
  child.stdin!.end(input);
  return ended;
}

describe("all of the content is sealed", () => {
  test("of a file whose size the system does not tell", async () => {
    const file = "/proc/kallsyms";
    expect(statSync(file).size).toBe(0);
    const content = readFileSync(file);
    expect(content.length).toBeGreaterThan(2 * CHUNK_LENGTH);
    expect(Buffer.compare(await roundTrip(file), content)).toBe(0);
  });

  test("of a file that grows meanwhile, up to where reading ends", async () => {
    writeFileSync(path("growing"), new Uint8Array(3 * CHUNK_LENGTH).fill(1));
    let grown = 0;
    const progress = (): void => {
      if (grown < 5) appendFileSync(path("growing"), new Uint8Array(CHUNK_LENGTH / 2 + grown++).fill(2));
    };
    await sealFile({ ...job("growing", "sealed", true), progress }, KEY);
    await openFile(job("sealed", "opened", true));
    const opened = readFileSync(path("opened"));
    expect(opened.length).toBeGreaterThan(4 * CHUNK_LENGTH);
    expect(Buffer.compare(opened, readFileSync(path("growing")).subarray(0, opened.length))).toBe(0);
  });

  test("of a pipe, by - for input and output, alike in seal, open and inspect", async () => {
    const content = Buffer.from(Array.from({ length: 200_000 }, (_, index) => index % 251));
    const sealed = await run(["seal", "-", "-t", "tenant-a", "-s", "billing"], content);
    expect({ code: sealed.code, stderr: sealed.stderr }).toEqual({ code: 0, stderr: "" });
    const opened = await run(["open", "-"], sealed.stdout);
    expect({ code: opened.code, stderr: opened.stderr }).toEqual({ code: 0, stderr: "" });
    expect(Buffer.compare(opened.stdout, content)).toBe(0);
    const inspected = await run(["inspect", "-", "--json"], sealed.stdout);
    expect(JSON.parse(inspected.stdout.toString())).toMatchObject({ kind: "sealed file", format: 2, suite: 1 });
    expect(existsSync(path("-"))).toBe(false);
  });
});

describe("what is no file", () => {
  test("is told as missing, by seal, open and inspect alike", async () => {
    for (const command of [["seal", "-t", "tenant-a"], ["open"], ["inspect"]]) {
      const { code, stderr } = await run([command[0]!, "nofile.sealed", ...command.slice(1)]);
      expect([command[0], code, stderr]).toEqual([command[0], 1, expect.stringContaining("nofile.sealed")]);
      expect(stderr).toMatch(/no file|can't be read|cannot be read|is not there/);
    }
  });

  test("is written through where it is a device, and stays one", async () => {
    writeFileSync(path("plain"), "content");
    await sealFile(job("plain", "sealed", true), KEY);
    const made = process.getuid?.() === 0 && spawnSync("mknod", [path("device"), "c", "1", "3"]).status === 0;
    const device = made ? path("device") : "/dev/null";
    for (const force of [false, true]) await openFile(job("sealed", device, force));
    expect(lstatSync(device).isCharacterDevice()).toBe(true);
    rmSync(path("device"), { force: true });
  });

  test("is refused at once where it is a named pipe or a folder, as input and as output, behind a link too", async () => {
    writeFileSync(path("plain"), "content");
    spawnSync("mkfifo", [path("pipe")]);
    symlinkSync(path("pipe"), path("link-to-pipe"));
    for (const name of ["pipe", "link-to-pipe", "."]) {
      await expect(sealFile(job(name, "never"), KEY)).rejects.toThrow("is not a file");
      await expect(sealFile(job("plain", name, true), KEY)).rejects.toThrow("is no file");
    }
    expect(lstatSync(path("pipe")).isFIFO()).toBe(true);
    expect((await run(["inspect", "pipe"])).stderr).not.toBe("");
    for (const name of ["pipe", "link-to-pipe"]) rmSync(path(name));
  });

  test("stays a link where it is one: the file behind it is replaced; a link to nothing is refused", async () => {
    writeFileSync(path("plain"), "content");
    writeFileSync(path("behind"), "old");
    symlinkSync(path("behind"), path("link"));
    await expect(sealFile(job("plain", "link"), KEY)).rejects.toThrow("--force");
    await sealFile(job("plain", "link", true), KEY);
    expect(lstatSync(path("link")).isSymbolicLink()).toBe(true);
    expect(readFileSync(path("behind"), "latin1")).toStartWith("L4SEALED");
    symlinkSync(path("nowhere"), path("dangling"));
    await expect(sealFile(job("plain", "dangling", true), KEY)).rejects.toThrow("is not there");
    for (const name of ["link", "behind", "dangling"]) rmSync(path(name));
  });
});

test("an output without a name is a mistake that is told", async () => {
  const { ended, child } = start(["seal", "-", "-t", "tenant-a", "-o", ""]);
  child.stdin!.end();
  expect(await ended).toMatchObject({ code: 1, stderr: expect.stringContaining("the output has no name") });
});

test.each(["seal", "open"])(
  "%s to a standard output that is closed is a failure, not a success that wrote nowhere",
  (command) => {
    const { exitCode, stderr } = Bun.spawnSync(
      [
        "sh",
        "-c",
        `exec "$0" "$1" ${command} - -o - ${command === "seal" ? "-t tenant-a" : ""} >&-`,
        process.execPath,
        MAIN,
      ],
      { cwd: folder, env: { ...process.env, CRYPTO_EDGE_URL: "http://127.0.0.1:1" }, stdin: Buffer.from("text") },
    );
    expect([exitCode, stderr.toString()]).toEqual([1, expect.stringContaining("standard output is closed")]);
  },
);

test("a name may be as long as the file system allows", async () => {
  const name = "n".repeat(248);
  writeFileSync(path(name), "content");
  await sealFile(job(name, `${name}.sealed`), KEY);
  await openFile(job(`${name}.sealed`, "opened", true));
  expect(readFileSync(path("opened"), "utf8")).toBe("content");
  for (const each of [name, `${name}.sealed`]) rmSync(path(each));
});

test("a name that is not UTF-8 gets an error that says so, and how to go round it", async () => {
  const command = `printf x > $'\\xff\\xfe'; exec "$0" "$1" seal $'\\xff\\xfe' -t tenant-a`;
  const { stderr, status } = spawnSync("bash", ["-c", command, process.execPath, MAIN], { cwd: folder });
  expect(status).toBe(1);
  expect(stderr.toString()).toContain("may not be UTF-8");
  spawnSync("bash", ["-c", "rm -f $'\\xff\\xfe'"], { cwd: folder });
});

describe("a signal", () => {
  const names = (): string[] => readdirSync(folder).filter((name) => name.endsWith(".partial"));
  /** Whether the command has written some of its output, which has no name yet: seen by its descriptors. */
  const hasWritten = ({ pid }: { readonly pid?: number | undefined }): boolean => {
    try {
      return readdirSync(`/proc/${pid}/fd`).some((descriptor) => {
        const stats = statSync(`/proc/${pid}/fd/${descriptor}`);
        const leadsHere = readlinkSync(`/proc/${pid}/fd/${descriptor}`).startsWith(`${realpathSync(folder)}/`);
        return leadsHere && stats.isFile() && stats.nlink === 0 && stats.size > CHUNK_LENGTH;
      });
    } catch {
      return false;
    }
  };

  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGALRM", "SIGKILL"] as const) {
    test(`${signal} leaves nothing half-written`, async () => {
      const { child, ended } = start(["seal", "-", "-t", "tenant-a", "-s", "billing", "-o", "never"]);
      child.stdin!.write(new Uint8Array(3 * CHUNK_LENGTH));
      await until(() => hasWritten(child));
      child.kill(signal);
      expect((await ended).code).not.toBe(0);
      expect(names()).toEqual([]);
      expect(existsSync(path("never"))).toBe(false);
    });
  }

  test("that is ignored stays so: nohup", async () => {
    const { child, ended } = (() => {
      const command = `trap "" HUP; exec "$0" "$1" seal - -t tenant-a -s billing -o after-all`;
      const child = spawn("bash", ["-c", command, process.execPath, MAIN], {
        cwd: folder,
        env: { ...process.env, CRYPTO_EDGE_URL: edge.url },
        stdio: ["pipe", "ignore", "inherit"],
      });
      return { child, ended: new Promise<number | null>((resolve) => void child.on("close", resolve)) };
    })();
    child.stdin.write(new Uint8Array(3 * CHUNK_LENGTH));
    await until(() => hasWritten(child));
    child.kill("SIGHUP");
    child.stdin.end();
    expect(await ended).toBe(0);
    expect(existsSync(path("after-all"))).toBe(true);
    rmSync(path("after-all"));
  });
});

describe("format 1", () => {
  /** As the releases before format 2 wrote it. */
  async function formatOne(content: string): Promise<Buffer> {
    const { wrapped, plaintext } = await edge.client.createKey({ ...KEY, plaintext: true });
    const fixed = Buffer.concat([Buffer.from("L4SEALED"), Buffer.from([1, 16])]);
    const nonce = Buffer.alloc(12);
    nonce[11] = 1;
    const cipher = createCipheriv("aes-256-gcm", plaintext!, nonce).setAAD(fixed);
    const body = Buffer.concat([cipher.update(content), cipher.final(), cipher.getAuthTag()]);
    return Buffer.concat([fixed, Buffer.from([wrapped.length >> 8, wrapped.length]), wrapped, body]);
  }

  test("is read, and the command says that it does not commit to its key", async () => {
    writeFileSync(path("old.sealed"), await formatOne("written long ago"));
    expect(await openFile(job("old.sealed", "opened", true))).toBe(1);
    expect(readFileSync(path("opened"), "utf8")).toBe("written long ago");
    const opened = await run(["open", "old.sealed", "-o", "-"]);
    expect(opened).toMatchObject({ code: 0, stderr: expect.stringContaining("does not commit to its key") });
    expect(opened.stdout.toString()).toBe("written long ago");
    expect((await run(["inspect", "old.sealed"])).stdout.toString()).toContain("format 1, which does not commit");
    rmSync(path("old.sealed"));
  });
});

test("a header with a data key of another length is an altered file, not a defect", async () => {
  for (const length of [16, 64] as const) {
    const { wrapped } = await edge.client.createKey({ ...KEY, length });
    writeFileSync(path("sealed"), Buffer.concat([writeSealedHeader(wrapped, new Uint8Array(32)), new Uint8Array(16)]));
    await expect(openFile(job("sealed", "opened", true))).rejects.toThrow(SealedFileError);
  }
});
