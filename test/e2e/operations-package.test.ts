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
import { buildCoreDeb, handoverUnit, instanceUnit } from "../../packaging/deb.ts";
import { coreManPage } from "../../packaging/man-page.ts";
import { PLUGINS } from "../../packaging/shared-files.ts";
import { VERSION } from "../../src/base/version.ts";
import { createProgram } from "../../src/cli/program.ts";
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
  }, 180_000);

  test("holds the binary, the unit, the configuration and the man page, all of root's", () => {
    const { stdout } = run(["--contents", deb], { command: "dpkg-deb" });
    for (const path of [
      "./usr/bin/crypto-edge",
      "./usr/lib/systemd/system/crypto-edge.service",
      "./usr/lib/systemd/system/crypto-edge@.service",
      "./usr/lib/systemd/system/crypto-edge-handover.service",
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

  test("brings every shipped plugin, to be read by all and written by root alone, without test data or dependencies", () => {
    const { stdout } = run(["--contents", deb], { command: "dpkg-deb" });
    const shipped = stdout.split("\n").filter((line) => line.includes(`.${PLUGINS}/`));
    for (const line of shipped) expect(line).toMatch(/^(drwxr-xr-x|-rw-r--r--) root\/root /);
    const plugins = readdirSync(resolve(import.meta.dir, "../../plugins"));
    expect(plugins.length).toBeGreaterThan(5);
    for (const name of plugins) {
      for (const file of ["plugin.ts", "package.json", "README.md"])
        expect(existsSync(join(root, PLUGINS, name, file))).toBe(true);
    }
    expect(stdout).not.toMatch(/node_modules|check(-away)?\.yaml|\/test\//);
  });

  test("says of each plugin truthfully whether it needs packages from npm", () => {
    const table = readFileSync(join(root, PLUGINS, "README.md"), "utf8");
    for (const name of readdirSync(resolve(import.meta.dir, "../../plugins"))) {
      const folder = join(root, PLUGINS, name);
      const { dependencies } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as {
        dependencies?: Record<string, string>;
      };
      const row = table.split("\n").find((line) => line.startsWith(`| ${name} |`))!;
      expect([name, row.includes("| nothing |")]).toEqual([name, dependencies === undefined]);
      const readme = readFileSync(join(folder, "README.md"), "utf8");
      expect([name, readme.includes("npm install")]).toEqual([name, dependencies !== undefined]);
      // What is imported is what is declared: what has no dependencies loads as it is.
      const imported = readdirSync(folder)
        .filter((file) => file.endsWith(".ts"))
        .flatMap((file) => [...readFileSync(join(folder, file), "utf8").matchAll(/from "([^."][^"]*)"/g)])
        .map(([, specifier]) => specifier!)
        .filter((specifier) => !/^(node:|bun$|bun:|crypto-edge\/)/.test(specifier));
      for (const specifier of imported) {
        const known = Object.keys(dependencies ?? {}).some(
          (each) => specifier === each || specifier.startsWith(`${each}/`),
        );
        expect([name, specifier, known]).toEqual([name, specifier, true]);
      }
    }
  });

  test("brings plugins that its binary loads, and an example that uses one", () => {
    const binary = join(root, "usr/bin/crypto-edge");
    using elsewhere = temporaryFolder();
    const example = readFileSync(join(root, "usr/share/doc/crypto-edge/examples/static.yaml"), "utf8");
    expect(example).toContain(`- ${PLUGINS}/static`);
    const moved = elsewhere.file("static.yaml");
    writeFileSync(moved, example.replace(PLUGINS, join(root, PLUGINS)));
    const checked = run(["config", "check", moved], { command: binary });
    expect([checked.code, checked.stderr]).toEqual([0, ""]);
    writeFileSync(
      moved,
      `${readFileSync(moved, "utf8")}cache: { prewarm: [{ tenant: tenant-a, service: billing }] }\n`,
    );
    const kit = run(["plugin", "check", join(root, PLUGINS, "static"), "--config", moved], { command: binary });
    expect([kit.code, kit.stdout]).toEqual([0, expect.stringContaining(" 0 broken")]);
    // Without a server: that it loads, and reads its section.
    const openbao = elsewhere.file("openbao.yaml");
    writeFileSync(elsewhere.file("token"), "s.token\n", { mode: 0o600 });
    writeFileSync(
      openbao,
      `edge: { id: edge-1 }
key_source: { use: openbao, openbao: { address: "https://bao.example:8200", token: "file:token", transit: { key: crypto-edge } } }
listeners: [{ http: "127.0.0.1:0", principal: local }]
plugins: [${join(root, PLUGINS, "openbao")}]
`,
    );
    const loaded = run(["config", "check", openbao], { command: binary });
    expect([loaded.code, loaded.stderr]).toEqual([0, ""]);
  });

  test("says what a plugin lacks whose packages are not installed", () => {
    using elsewhere = temporaryFolder();
    const configuration = elsewhere.file("nats.yaml");
    writeFileSync(
      configuration,
      `edge: { id: edge-1 }
key_source: { use: static, static: { keys: [] } }
listeners: [{ http: "127.0.0.1:0", principal: local }]
plugins: [${join(root, PLUGINS, "static")}, ${join(root, PLUGINS, "nats")}]
`,
    );
    const { code, stderr } = run(["config", "check", configuration], { command: join(root, "usr/bin/crypto-edge") });
    expect([code, stderr]).toEqual([1, expect.stringContaining("@nats-io/")]);
  });

  test("brings a README by which a plugin with packages from npm is installed, and then loads", () => {
    using elsewhere = temporaryFolder();
    const binary = join(root, "usr/bin/crypto-edge");
    const commands = [...readFileSync(join(root, PLUGINS, "README.md"), "utf8").matchAll(/^ {4}(.+)$/gm)]
      .map(([, command]) => command!)
      .join("\n")
      .replaceAll(PLUGINS, join(root, PLUGINS))
      .replaceAll("/usr/local/lib", elsewhere.path);
    const installed = run(["-ec", `umask 022\n${commands}`], { command: "sh" });
    expect([installed.code, installed.stderr]).toEqual([0, expect.anything()]);
    const configuration = elsewhere.file("nats.yaml");
    writeFileSync(
      configuration,
      `edge: { id: edge-1 }
key_source: { use: static, static: { keys: [{ tenant: tenant-a, service: billing, version: 1, key: "${"0f".repeat(32)}" }] } }
revocation: { transports: [{ use: nats, nats: { servers: ["nats://127.0.0.1:1"], stream: R, subject: r } }] }
listeners: [{ http: "127.0.0.1:0", principal: local }]
plugins: [${join(root, PLUGINS, "static")}, ${elsewhere.file("crypto-edge/nats")}]
`,
    );
    const { code, stderr } = run(["config", "check", configuration], { command: binary });
    expect([code, stderr]).toEqual([0, ""]);
  });

  test("brings completions for bash, zsh and fish, where these look for them, and each parses", () => {
    const files: Record<string, readonly [path: string, shell: string]> = {
      bash: ["usr/share/bash-completion/completions/crypto-edge", "-n"],
      zsh: ["usr/share/zsh/vendor-completions/_crypto-edge", "-n"],
      fish: ["usr/share/fish/vendor_completions.d/crypto-edge.fish", "--no-execute"],
    };
    for (const [shell, [path, option]] of Object.entries(files)) {
      const text = readFileSync(join(root, path), "utf8");
      expect(text).toBe(run(["completion", shell]).stdout);
      expect(text).toContain("revoke");
      if (!has(shell)) continue;
      const parsed = run([option, join(root, path)], { command: shell });
      expect([shell, parsed.code, parsed.stderr]).toEqual([shell, 0, ""]);
    }
    expect(readFileSync(join(root, files.zsh![0]), "utf8")).toStartWith("#compdef crypto-edge");
    // Bash loads the file and asks the function: it knows the commands.
    const asked = run(
      [
        "--norc",
        "-c",
        `source ${join(root, files.bash![0])}; COMP_WORDS=(crypto-edge ser); COMP_CWORD=1; COMP_LINE="crypto-edge ser"; COMP_POINT=15; $(complete -p crypto-edge | sed 's/.*-F \\([^ ]*\\).*/\\1/') crypto-edge ser crypto-edge; printf '%s\\n' "\${COMPREPLY[@]}"`,
      ],
      { command: "bash" },
    );
    expect([asked.stderr, asked.stdout.trim()]).toEqual(["", "serve"]);
  });

  test("says whose work it holds", () => {
    const text = readFileSync(join(root, "usr/share/doc/crypto-edge/copyright"), "utf8");
    for (const held of ["License: Apache-2.0", "Bun 1.", " elysia ", " commander "]) expect(text).toContain(held);
    for (const line of text.split("\n")) expect(line).not.toContain("undefined");
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
        manPage: coreManPage(createProgram(), "1.2.3", "2026-01-01"),
        epochSeconds: 0,
      });
      expect(run(["--extract", deb, join(folder, "root")], { command: "dpkg-deb" }).code).toBe(0);
      const page = Bun.gunzipSync(readFileSync(join(folder, "root/usr/share/man/man1/crypto-edge-core.1.gz")));
      for (const command of ["core serve", "core revoke", "pki init"])
        expect(Buffer.from(page).toString().replaceAll("\\-", "-")).toContain(`crypto-edge ${command}`);
      if (has("groff")) {
        writeFileSync(join(folder, "page"), page);
        const shown = run(["-man", "-Tascii", "-ww", "-P-c", join(folder, "page")], { command: "groff" });
        expect([shown.code, shown.stderr]).toEqual([0, ""]);
      }
      const { stdout } = run(["--contents", deb], { command: "dpkg-deb" });
      for (const path of [
        "./usr/lib/systemd/system/crypto-edge-core.service",
        "./etc/crypto-edge-core/core.yaml",
        "./usr/share/doc/crypto-edge-core/examples/core.yaml",
        "./usr/share/man/man1/crypto-edge-core.1.gz",
      ]) {
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

  test("says nothing that systemd does not know, nor do those of instances and of the handover, which differ where two must share", () => {
    const folder = mkdtempSync(join(tmpdir(), "crypto-edge-unit-"));
    const own = readFileSync(UNIT, "utf8");
    const instance = instanceUnit(own);
    const lines = (text: string): Set<string> => new Set(text.split("\n"));
    expect([...lines(instance).difference(lines(own))]).toEqual([
      "Description=crypto-edge, data keys next to the application, %i",
      "ExecStartPre=/usr/bin/crypto-edge config check /etc/crypto-edge/%i.yaml",
      "ExecStart=/usr/bin/crypto-edge serve --config /etc/crypto-edge/%i.yaml",
      "User=crypto-edge",
      "RuntimeDirectoryPreserve=yes",
    ]);
    const handover = handoverUnit(own);
    expect([...lines(handover).difference(lines(own))]).toEqual([
      "Description=crypto-edge, data keys next to the application, while it is upgraded",
      "Environment=CRYPTO_EDGE_AUDIT_FILE_PATH=/var/log/crypto-edge/audit-handover.jsonl",
      "Restart=no",
      "User=crypto-edge",
      "RuntimeDirectoryPreserve=yes",
    ]);
    const units = {
      "crypto-edge.service": own,
      "crypto-edge@a.service": instance,
      "crypto-edge-handover.service": handover,
    };
    for (const [name, text] of Object.entries(units)) {
      const unit = join(folder, name);
      // What is not installed here is replaced by what is.
      writeFileSync(unit, text.replaceAll("/usr/bin/crypto-edge", "/bin/true").replace(/^Documentation.*$/m, ""));
      const { code, stderr } = run(["verify", unit], { command: "systemd-analyze" });
      expect([code, stderr]).toEqual([0, ""]);
    }
    rmSync(folder, { recursive: true });
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
