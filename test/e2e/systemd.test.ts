/** The Debian packages under a real systemd: installed, configured as docs/operations.md says, and upgraded in place under callers that never stop. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { buildCoreDeb, buildDeb } from "../../packaging/deb.ts";
import { coreManPage, manPage } from "../../packaging/man-page.ts";
import { VERSION } from "../../src/base/version.ts";
import { completions } from "../../src/cli/completion.ts";
import { createProgram } from "../../src/cli/program.ts";
import { freePort } from "../support/free-port.ts";
import { BINARY, run, temporaryFolder } from "./support/binary.ts";
import { Systemd } from "./support/systemd.ts";
import { type CallAddress, type Calls, TirelessCaller } from "./support/tireless-caller.ts";

setDefaultTimeout(300_000);

/** Of each step: before, during and after. */
const CALLS = 200;
const NEWER = "99.0.0";
const PACKAGES = resolve(import.meta.dir, "../../packaging");
const SOCKET = "/run/crypto-edge/billing.sock";

const folder = temporaryFolder();
const ports = { core: 0, coreMetrics: 0, http: 0, metrics: 0 };
let systemd: Systemd;

/** @returns the folder of both packages, which differ from any other's by their version. */
function buildPackages(version: string): string {
  const program = createProgram();
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  const output = folder.file(version);
  const options = { binary: BINARY, version, architecture, output, epochSeconds: 0 };
  const [bash, zsh, fish] = (["bash", "zsh", "fish"] as const).map((shell) => completions(program, shell));
  const texts = { bash: bash!, zsh: zsh!, fish: fish! };
  buildDeb({ ...options, manPage: manPage(program, version, "2026-01-01"), completions: texts });
  buildCoreDeb({ ...options, manPage: coreManPage(program, version, "2026-01-01") });
  return output;
}

const show = (unit: string, property: string): string =>
  systemd.succeed(`systemctl show --value --property ${property} ${unit}`).trim();
const startUnit = (unit: string): string =>
  systemd.succeed(`systemctl start ${unit} || { journalctl --no-pager --lines 50 --unit ${unit}; exit 1; }`);
/** What a process runs; " (deleted)" where another file has taken its place. */
const program = (unit: string): string =>
  systemd
    .succeed(`readlink /proc/${show(unit, "MainPID")}/exe`)
    .trim()
    .replace(/^.*(?=\/usr\/bin)/, "");
const install = (version: string): string =>
  systemd.succeed(`dpkg --install --force-confold,unsafe-io /root/${version}/*.deb 2>&1`);

async function underCalls(step: () => Promise<unknown>): Promise<Calls[]> {
  const addresses: CallAddress[] = [{ path: systemd.path(SOCKET) }, { port: ports.http }];
  const callers = addresses.map((address) => new TirelessCaller(address, { kept: 2, fresh: 3 }));
  const more = () => Promise.all(callers.map((caller) => caller.more(CALLS)));
  try {
    await more();
    await step();
    await more();
  } finally {
    await Promise.all(callers.map((caller) => caller.stop()));
  }
  return callers.map(({ calls }) => calls);
}

/** Without blocking this process, in which the callers are. */
async function installUnderCalls(version: string): Promise<{ calls: Calls[]; output: string }> {
  let output = "";
  const calls = await underCalls(async () => {
    const dpkg = systemd.start(`dpkg --install --force-confold,unsafe-io /root/${version}/*.deb 2>&1`);
    expect([await dpkg.ended, dpkg.output()]).toEqual([0, expect.any(String)]);
    output = dpkg.output();
  });
  return { calls, output };
}

const isRoot = process.getuid?.() === 0;

if (!isRoot)
  test("what is below, as root", () => {
    const environment = [`PATH=${process.env.PATH}`, `CRYPTO_EDGE_BINARY=${BINARY}`];
    const { code, stderr } = run(["-n", "env", ...environment, process.execPath, "test", import.meta.path], {
      command: "sudo",
      cwd: resolve(PACKAGES, ".."),
    });
    expect([code, code === 0 ? "" : stderr]).toEqual([0, ""]);
  });

if (isRoot)
  describe("the Debian packages under systemd", () => {
    beforeAll(async () => {
      for (const name of Object.keys(ports) as (keyof typeof ports)[]) ports[name] = await freePort();
      buildPackages(VERSION);
      buildPackages(NEWER);
      systemd = await Systemd.boot();
      for (const version of [VERSION, NEWER])
        cpSync(folder.file(version), systemd.path(`/root/${version}`), { recursive: true });
      install(VERSION);

      systemd.succeed(`cd /root
      crypto-edge pki init --trust-domain example.org
      crypto-edge pki core --dns localhost --ip 127.0.0.1
      crypto-edge pki core --admin
      crypto-edge pki edge edge-1
      cd pki
      install -m 0640 -g crypto-edge-core-keys ca.pem core.pem core.key /etc/crypto-edge-core/
      install -m 0640 -g crypto-edge-keys ca.pem /etc/crypto-edge/core-ca.pem
      install -m 0640 -g crypto-edge-keys edge-1.pem /etc/crypto-edge/edge.pem
      install -m 0640 -g crypto-edge-keys edge-1.key /etc/crypto-edge/edge.key
      openssl rand -hex 32 | systemd-creds encrypt --name=master.key - /etc/crypto-edge-core/master.key.cred`);
      const core = readFileSync(resolve(PACKAGES, "core.yaml"), "utf8")
        .replace("0.0.0.0:8443", `127.0.0.1:${ports.core}`)
        .replace("127.0.0.1:8444", `127.0.0.1:${ports.coreMetrics}`);
      writeFileSync(systemd.path("/etc/crypto-edge-core/core.yaml"), core);
      const edge = readFileSync(resolve(PACKAGES, "edge.yaml"), "utf8")
        .replace("https://core.example:8443", `https://127.0.0.1:${ports.core}`)
        .replace("listeners:", `listeners:\n  - { http: "127.0.0.1:${ports.http}", principal: billing, shared: true }`)
        .replace("127.0.0.1:7403", `127.0.0.1:${ports.metrics}`);
      writeFileSync(systemd.path("/etc/crypto-edge/edge.yaml"), edge);
      startUnit("crypto-edge-core");
      systemd.succeed(
        `cd /root && crypto-edge core service create tenant-a billing --url https://127.0.0.1:${ports.core}`,
      );
      startUnit("crypto-edge");
    });
    afterAll(async () => {
      await systemd?.[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    });

    test("start a Core with its encrypted credential and an edge, each as a user of its own without privileges", async () => {
      for (const unit of ["crypto-edge-core", "crypto-edge"]) {
        expect([unit, show(unit, "ActiveState"), show(unit, "Type"), show(unit, "WatchdogUSec")]).toEqual([
          unit,
          "active",
          "notify",
          "30s",
        ]);
        const status = systemd.succeed(`cat /proc/${show(unit, "MainPID")}/status`);
        expect(status).toMatch(/^NoNewPrivs:\t1$/m);
        expect(status).toMatch(/^Seccomp:\t2$/m);
        expect(status).toMatch(/^CapEff:\t0{16}$/m);
        expect(status).not.toMatch(/^Uid:\t0\b/m);
      }
      // The unit's filter of system calls lets the thread that answers ask for short slices.
      const scheduled = systemd.succeed(`cat /proc/${show("crypto-edge", "MainPID")}/sched`);
      expect(scheduled).toMatch(/^se\.slice\s*:\s*100000$/m);
      const metrics = await (await fetch(`http://127.0.0.1:${ports.metrics}/metrics`)).text();
      expect(metrics).toContain('crypto_edge_key_memory_keys{kind="heap"} 0');
      expect(metrics).toContain("crypto_edge_ready 1");
      expect((await fetch(`http://127.0.0.1:${ports.coreMetrics}/readyz`)).status).toBe(200);
      const status = systemd.succeed("crypto-edge status --edge unix:/run/crypto-edge/admin.sock");
      expect(status).toContain("edge-1");
    });

    test("are upgraded in place, and no call of any client is refused or lost", async () => {
      const before = { edge: show("crypto-edge", "MainPID"), core: show("crypto-edge-core", "MainPID") };
      const { calls, output } = await installUnderCalls(NEWER);
      for (const { refused, lost, toldToMove } of calls) {
        expect({ refused, lost }).toEqual({ refused: [], lost: [] });
        // By the old edge, and by the one that served meanwhile.
        expect(toldToMove).toBeGreaterThanOrEqual(2);
      }
      expect(output).not.toContain("crypto-edge: ");
      expect(systemd.succeed("dpkg-query --show crypto-edge crypto-edge-core")).toBe(
        `crypto-edge\t${NEWER}\ncrypto-edge-core\t${NEWER}\n`,
      );
      for (const unit of ["crypto-edge", "crypto-edge-core"])
        expect([unit, show(unit, "ActiveState"), program(unit)]).toEqual([unit, "active", "/usr/bin/crypto-edge"]);
      expect(show("crypto-edge", "MainPID")).not.toBe(before.edge);
      expect(show("crypto-edge-core", "MainPID")).not.toBe(before.core);
      expect(show("crypto-edge-handover", "ActiveState")).toBe("inactive");
      // Each audit file had one writer, and each chain holds.
      for (const name of ["audit.jsonl", "audit-handover.jsonl"])
        systemd.succeed(`crypto-edge audit verify /var/log/crypto-edge/${name}`);
    });

    test("leave the old edge serving when the new program does not take the configuration", async () => {
      const path = systemd.path("/etc/crypto-edge/edge.yaml");
      const own = readFileSync(path, "utf8");
      const before = show("crypto-edge", "MainPID");
      writeFileSync(path, `${own}\nnonsense: true\n`);
      try {
        const { calls, output } = await installUnderCalls(VERSION);
        for (const { refused, lost } of calls) expect({ refused, lost }).toEqual({ refused: [], lost: [] });
        expect(output).toContain(
          "crypto-edge: the new program does not take this configuration. The old one serves on",
        );
        expect(show("crypto-edge", "MainPID")).toBe(before);
        expect(program("crypto-edge")).toBe("/usr/bin/crypto-edge (deleted)");
      } finally {
        writeFileSync(path, own);
        systemd.succeed("systemctl restart crypto-edge");
      }
    });

    test("bring instances that take turns without a refused call, for whatever else changes", async () => {
      const own = readFileSync(systemd.path("/etc/crypto-edge/edge.yaml"), "utf8");
      for (const name of ["a", "b"]) {
        const text = own.replace("audit.jsonl", `audit-${name}.jsonl`);
        writeFileSync(systemd.path(`/etc/crypto-edge/${name}.yaml`), text);
      }
      systemd.succeed("systemctl stop crypto-edge");
      startUnit("crypto-edge@a");
      const calls = await underCalls(async () => {
        const turn = systemd.start("systemctl start crypto-edge@b && systemctl stop crypto-edge@a");
        expect([await turn.ended, turn.output()]).toEqual([0, ""]);
      });
      for (const { refused, lost } of calls) expect({ refused, lost }).toEqual({ refused: [], lost: [] });
      expect([show("crypto-edge@a", "ActiveState"), show("crypto-edge@b", "ActiveState")]).toEqual([
        "inactive",
        "active",
      ]);
      systemd.succeed("systemctl stop crypto-edge@b");
      startUnit("crypto-edge");
    });

    test("restart an edge whose listeners are not shared, and say that calls are refused meanwhile", async () => {
      const path = systemd.path("/etc/crypto-edge/edge.yaml");
      writeFileSync(path, readFileSync(path, "utf8").replaceAll(", shared: true", ""));
      systemd.succeed("systemctl restart crypto-edge");
      expect(install(NEWER)).toContain("crypto-edge: nothing can serve meanwhile");
      expect([show("crypto-edge", "ActiveState"), program("crypto-edge")]).toEqual(["active", "/usr/bin/crypto-edge"]);
      expect(show("crypto-edge-handover", "ActiveState")).toBe("inactive");
      const [calls] = await underCalls(async () => {});
      expect(calls!.refused).toEqual([]);
    });

    test("are removed with nothing left running", () => {
      systemd.succeed("dpkg --purge crypto-edge-core crypto-edge");
      for (const unit of ["crypto-edge", "crypto-edge-core"]) expect(show(unit, "ActiveState")).toBe("inactive");
      expect(systemd.attempt("ls /usr/bin/crypto-edge").code).not.toBe(0);
    });
  });
