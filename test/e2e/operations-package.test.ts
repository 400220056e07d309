import { beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { buildCoreDeb } from "../../packaging/deb.ts";
import { VERSION } from "../../src/base/version.ts";
import { readCoreConfiguration } from "../../src/core/core-configuration.ts";
import { createClient } from "../../src/sdk/client/client.ts";
import { staticConfiguration } from "../support/static-edge.ts";
import { BINARY, run, start, temporaryFolder } from "./support/binary.ts";
import { Deployment } from "./support/deployment.ts";
import { namedFiles } from "./support/named-files.ts";

const UNIT = resolve(import.meta.dir, "../../packaging/crypto-edge.service");
const OPERATIONS = readFileSync(resolve(import.meta.dir, "../../docs/operations.md"), "utf8");
const has = (command: string): boolean => Bun.which(command) !== null;

describe.if(has("dpkg-deb"))("the Debian package", () => {
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-deb-test-"));
  const root = join(folder, "root");
  let deb = "";

  beforeAll(() => {
    const built = run(["build.ts", "--deb"], { command: process.execPath, cwd: resolve(import.meta.dir, "../..") });
    expect([built.code, built.stderr]).toEqual([0, ""]);
    deb = resolve(import.meta.dir, "../..", built.stdout.trimEnd().split("\n").at(-1)!);
    mkdirSync(root);
    expect(run(["--extract", deb, root], { command: "dpkg-deb" }).code).toBe(0);
    return () => rmSync(folder, { recursive: true });
  });

  test("holds the binary, the unit, the configuration and the man page, all of root's", () => {
    const { stdout } = run(["--contents", deb], { command: "dpkg-deb" });
    for (const path of [
      "./usr/bin/crypto-edge",
      "./usr/lib/systemd/system/crypto-edge.service",
      "./etc/crypto-edge/edge.yaml",
      "./usr/share/man/man1/crypto-edge.1.gz",
      "./usr/share/doc/crypto-edge/examples/edge.yaml",
    ]) {
      expect(stdout).toMatch(new RegExp(`root/root .* ${path.replaceAll(".", "\\.")}\n`));
    }
    const field = (name: string): string => run(["--field", deb, name], { command: "dpkg-deb" }).stdout.trim();
    expect([field("Package"), field("Version")]).toEqual(["crypto-edge", VERSION]);
  });

  test("brings a binary that runs, and an example configuration without a mistake once its files are there", async () => {
    const binary = join(root, "usr/bin/crypto-edge");
    expect(run(["version"], { command: binary }).stdout).toContain(VERSION);
    const check = (path: string) => run(["config", "check", path], { command: binary });
    // A fresh machine lacks what only its operator has; each thing is named by its line.
    const example = join(root, "etc/crypto-edge/edge.yaml");
    const fresh = check(example);
    expect([fresh.code, fresh.stderr]).toEqual([
      1,
      expect.stringMatching(/edge\.yaml:10:3: .*edge\.pem can't be read/),
    ]);

    using folder = temporaryFolder();
    for (const [name, text] of Object.entries(await namedFiles())) {
      writeFileSync(folder.file(name), text, { mode: 0o600 });
    }
    const text = readFileSync(example, "utf8").replaceAll(/\/(?:run|var\/log)\/crypto-edge/g, folder.path);
    writeFileSync(folder.file("edge.yaml"), text);
    const ready = check(folder.file("edge.yaml"));
    expect([ready.code, ready.stderr]).toEqual([0, ""]);
  });

  test("asks before it overwrites a configuration, and starts nothing by itself", () => {
    const control = join(folder, "control");
    expect(run(["--control", deb, control], { command: "dpkg-deb" }).code).toBe(0);
    expect(readFileSync(join(control, "conffiles"), "utf8")).toBe("/etc/crypto-edge/edge.yaml\n");
    for (const script of ["postinst", "prerm", "postrm"]) {
      expect(run(["-n", join(control, script)], { command: "sh" }).code).toBe(0);
      expect(statSync(join(control, script)).mode & 0o111).not.toBe(0);
    }
    expect(readFileSync(join(control, "postinst"), "utf8")).not.toContain("enable");
    for (const line of readFileSync(join(control, "md5sums"), "utf8").trimEnd().split("\n")) {
      expect(existsSync(join(root, line.split("  ")[1]!))).toBe(true);
    }
  });

  test.if(has("groff"))("has a man page that names every command, and that roff reads without a warning", () => {
    const page = Bun.gunzipSync(readFileSync(join(root, "usr/share/man/man1/crypto-edge.1.gz")));
    const source = join(folder, "crypto-edge.1");
    writeFileSync(source, page);
    const { stdout, stderr } = run(["-man", "-Tascii", "-ww", "-P-c", source], { command: "groff" });
    expect(stderr).toBe("");
    // Bold is a letter, a backspace, and the letter again.
    const shown = stdout
      .split("\b")
      .map((part, index, parts) => (index === parts.length - 1 ? part : part.slice(0, -1)))
      .join("");
    for (const command of ["serve", "config check", "audit verify", "status", "seal", "inspect"]) {
      expect(shown).toContain(`crypto-edge ${command}`);
    }
  });
});

describe.if(has("dpkg-deb"))("the Debian package of a Core", () => {
  test("holds a unit that systemd knows and the configuration of the page, and starts nothing by itself", () => {
    const folder = mkdtempSync(join(tmpdir(), "crypto-edge-core-deb-"));
    try {
      const packages = resolve(import.meta.dir, "../../packaging");
      const deb = buildCoreDeb({
        binary: "",
        version: "1.2.3",
        architecture: "all",
        output: folder,
        manPage: "",
        epochSeconds: 0,
      });
      const { stdout } = run(["--contents", deb], { command: "dpkg-deb" });
      for (const path of ["./usr/lib/systemd/system/crypto-edge-core.service", "./etc/crypto-edge-core/core.yaml"]) {
        expect(stdout).toMatch(new RegExp(`root/root .* ${path.replaceAll(".", "\\.")}\n`));
      }
      expect(run(["--field", deb, "Depends"], { command: "dpkg-deb" }).stdout).toBe("crypto-edge (= 1.2.3)\n");
      expect(run(["--control", deb, join(folder, "control")], { command: "dpkg-deb" }).code).toBe(0);
      expect(readFileSync(join(folder, "control/conffiles"), "utf8")).toBe("/etc/crypto-edge-core/core.yaml\n");
      expect(readFileSync(join(folder, "control/postinst"), "utf8")).not.toContain("enable");
      for (const script of ["postinst", "prerm", "postrm"]) {
        expect(run(["-n", join(folder, "control", script)], { command: "sh" }).code).toBe(0);
      }
      expect(readCoreConfiguration(join(packages, "core.yaml")).check().master_key).toEqual({
        credential: "master.key",
      });
      if (!has("systemd-analyze")) return;
      const unit = join(folder, "crypto-edge-core.service");
      const text = readFileSync(join(packages, "crypto-edge-core.service"), "utf8")
        .replaceAll("/usr/bin/crypto-edge", "/bin/true")
        .replace(/^Documentation.*$/m, "");
      writeFileSync(unit, text);
      const verified = run(["verify", unit], { command: "systemd-analyze" });
      expect([verified.code, verified.stderr]).toEqual([0, ""]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe.if(has("systemd-analyze"))("the systemd unit", () => {
  test("has the exposure score that docs/operations.md tells", () => {
    const { stdout } = run(["security", "--offline=yes", "--no-pager", UNIT], { command: "systemd-analyze" });
    const [, score] = /Overall exposure level for crypto-edge\.service: ([\d.]+)/.exec(stdout)!;
    expect(Number(score)).toBeLessThanOrEqual(2);
    expect(OPERATIONS).toContain(`systemd-analyze security --offline=yes`);
    const [, told] = /exposure level of ([\d.]+)/.exec(OPERATIONS)!;
    // Other versions of systemd weigh a little differently.
    expect(Math.abs(Number(told) - Number(score))).toBeLessThanOrEqual(0.3);
  });

  test("says nothing that systemd does not know", () => {
    const folder = mkdtempSync(join(tmpdir(), "crypto-edge-unit-"));
    const unit = join(folder, "crypto-edge.service");
    // What is not installed here is replaced by what is.
    const text = readFileSync(UNIT, "utf8")
      .replaceAll("/usr/bin/crypto-edge", "/bin/true")
      .replace(/^Documentation.*$/m, "");
    writeFileSync(unit, text);
    const { code, stderr } = run(["verify", unit], { command: "systemd-analyze" });
    rmSync(folder, { recursive: true });
    expect([code, stderr]).toEqual([0, ""]);
  });

  test.if(has("strace") && process.platform === "linux")(
    "allows every system call that the edge makes, from its start through its work to its stop",
    async () => {
      await using deployment = new Deployment();
      await deployment.startCore();
      deployment.admin("service", "create", "tenant-a", "billing");
      const trace = deployment.file("trace");
      mkdirSync(trace);
      deployment.edgeCommand = ["strace", "-D", "-ff", "-qq", "-o", join(trace, "calls")];
      await deployment.startEdge(`audit: { operations: all, file: { path: audit.jsonl } }
metrics: { listen: "127.0.0.1:0" }`);
      const { client } = deployment;
      const made = await client.createKey({ tenant: "tenant-a", service: "billing" });
      await client.decryptKey(made);
      expect(await deployment.edge!.stop()).toBe(0);

      const calls = new Set<string>();
      for (const file of readdirSync(trace)) {
        for (const [, name] of readFileSync(join(trace, file), "latin1").matchAll(/^([a-z_0-9]+)\(/gm))
          calls.add(name!);
      }
      expect(calls.size).toBeGreaterThan(40);
      const allowed = allowedCalls(readFileSync(UNIT, "utf8"));
      expect([...calls].filter((name) => !allowed.has(name))).toEqual([]);
    },
  );

  test.if(canDropPrivileges())(
    "asks for nothing that an unprivileged process lacks: secret key memory, with no capability and a bare /proc",
    async () => {
      using folder = temporaryFolder();
      chmodSync(folder.path, 0o755);
      writeFileSync(
        folder.file("edge.yaml"),
        staticConfiguration().replace("log: { level: error }", "log: { level: info }"),
      );
      const edge = start(
        [...UNPRIVILEGED.slice(1), `${DROP.join(" ")} ${BINARY} serve --config ${folder.file("edge.yaml")}`],
        {
          command: UNPRIVILEGED[0]!,
        },
      );
      try {
        const [, url] = await edge.waitFor(/"addresses":\["(http:[^"]+)"/);
        await createClient({ url: url! }).createKey({ tenant: "tenant-a", service: "billing" });
        const text = await (await fetch(`${url}/metrics`)).text();
        expect(text).toContain('crypto_edge_key_memory_keys{kind="heap"} 0');
        expect(text).toMatch(/crypto_edge_key_memory_keys\{kind="(secret|locked)"\} 2/);
        expect(edge.output()).not.toContain('"level":"error"');
      } finally {
        // The process that unshare forked; another user's, so it does not end with its parent.
        const children = readFileSync(`/proc/${edge.pid}/task/${edge.pid}/children`, "utf8").trim();
        for (const child of children === "" ? [] : children.split(" ")) process.kill(Number(child), "SIGKILL");
        await edge.ended;
      }
    },
  );
});

/** As the unit has it: another user, no capability, no new privileges, of /proc the processes alone. */
const UNPRIVILEGED = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-e", "-c"];
const DROP = [
  "mount -t proc -o subset=pid,hidepid=2 proc /proc;",
  "exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all",
];

function canDropPrivileges(): boolean {
  if (process.getuid?.() !== 0 || !has("setpriv") || !has("unshare")) return false;
  const plugin = resolve(import.meta.dir, "../../plugins/static/plugin.ts");
  const probe = `${DROP.join(" ")} test -x ${BINARY} -a -r ${plugin}`;
  return run([...UNPRIVILEGED.slice(1), probe], { command: UNPRIVILEGED[0]! }).code === 0;
}

/** What the unit's SystemCallFilter lines come to, as systemd would have it. */
function allowedCalls(unit: string): Set<string> {
  const allowed = new Set<string>();
  const expand = (name: string): string[] => {
    if (!name.startsWith("@")) return [name];
    const { stdout } = run(["syscall-filter", "--no-pager", name], { command: "systemd-analyze" });
    return stdout
      .split("\n")
      .slice(1)
      .map((line) => line.trim())
      .filter((line) => line !== "" && !line.startsWith("#"))
      .flatMap(expand);
  };
  // Always allowed, as systemd.exec(5) says.
  for (const name of expand("@default")) allowed.add(name);
  for (const [, list] of unit.matchAll(/^SystemCallFilter=(.*)$/gm)) {
    const denies = list!.startsWith("~");
    for (const name of list!.replace("~", "").split(" ").flatMap(expand)) {
      if (denies) allowed.delete(name);
      else allowed.add(name);
    }
  }
  return allowed;
}
