import { describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { resolve } from "node:path";
import { metricsReferencePage } from "../../scripts/metrics-reference.ts";
import { HTTP_STATUS } from "../../src/base/errors.ts";
import { VERSION } from "../../src/base/version.ts";
import { BINARY, type Running, run, start, temporaryFolder } from "./support/binary.ts";

const PAGE = readFileSync(resolve(import.meta.dir, "../../docs/operations.md"), "utf8");
const EXAMPLE = readFileSync(resolve(import.meta.dir, "../../packaging/edge.yaml"), "utf8");

/** What stands in for the package manager and for systemd: the edge is run as the unit's ExecStart says. */
const STAND_INS: Record<string, string> = {
  apt: `test "$1" = install && case "$2" in ./crypto-edge_${VERSION}_*.deb) ;; *) exit 1 ;; esac`,
  // Without the group, which the package would have made.
  install: `test "$1 $3 $4" = "-m -g crypto-edge-keys" && exec /usr/bin/install -m "$2" "$5" "$6"`,
  journalctl: `cat "$HERE/edge.log"`,
  systemctl: `
stop() { if [ -f "$HERE/edge.pid" ]; then kill "$(cat "$HERE/edge.pid")"; while kill -0 "$(cat "$HERE/edge.pid")" 2>/dev/null; do sleep 0.05; done; fi; }
await() { tries=0; until tail -n +"$2" "$HERE/edge.log" | grep -q "$1"; do tries=$((tries + 1)); test $tries -lt 400; sleep 0.05; done; }
touch "$HERE/edge.log"
from=$(($(wc -l <"$HERE/edge.log") + 1))
case "$1" in
  enable | restart)
    stop
    crypto-edge config check "$HERE/etc/edge.yaml"
    setsid crypto-edge serve --config "$HERE/etc/edge.yaml" >>"$HERE/edge.log" 2>&1 </dev/null &
    echo $! >"$HERE/edge.pid"
    await '"msg":"ready"' "$from" ;;
  reload)
    kill -HUP "$(cat "$HERE/edge.pid")"
    await '"msg":"reloaded"' "$from" ;;
  stop) stop ;;
esac`,
};

function freePort(): Promise<number> {
  return new Promise((resolvePort) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolvePort(port));
    });
  });
}

describe("docs/operations.md", () => {
  test("leads a stranger from the package to a running edge, its watch, its change and its audit", async () => {
    using folder = temporaryFolder();
    const bin = folder.file("bin");
    for (const name of ["bin", "etc", "run", "log"]) mkdirSync(folder.file(name));
    symlinkSync(BINARY, folder.file("bin/crypto-edge"));
    for (const [name, script] of Object.entries(STAND_INS)) {
      writeFileSync(`${bin}/${name}`, `#!/bin/sh\nset -e\n${script}\n`);
      chmodSync(`${bin}/${name}`, 0o755);
    }
    const [corePort, watchPort] = [await freePort(), await freePort()];
    const moved = (text: string): string =>
      text
        .replaceAll("/etc/crypto-edge", folder.file("etc"))
        .replaceAll("/run/crypto-edge", folder.file("run"))
        .replaceAll("/var/log/crypto-edge", folder.file("log"))
        .replaceAll("core.example:8443", `localhost:${corePort}`)
        .replaceAll("core.example", "localhost")
        .replaceAll("127.0.0.1:7403", `127.0.0.1:${watchPort}`);
    const env = { ...process.env, PATH: `${bin}:${process.env.PATH}`, HERE: folder.path };
    const startCore = async (): Promise<Running> => {
      writeFileSync(folder.file("master.key"), randomBytes(32), { mode: 0o600 });
      writeFileSync(
        folder.file("core.yaml"),
        `listen: "127.0.0.1:${corePort}"
database: core.sqlite
master_key: { file: master.key }
tls: { cert: pki/core.pem, key: pki/core.key, client_ca: pki/ca.pem }
allow:
  - { edges: ["*"], tenants: ["*"], services: ["*"] }
`,
      );
      const core = start(["core", "serve", "--config", "core.yaml"], { cwd: folder.path });
      await core.waitFor(/ready on/);
      for (const service of ["billing", "drill"]) {
        const made = run(["core", "service", "create", "tenant-a", service, "--url", `https://localhost:${corePort}`], {
          cwd: folder.path,
        });
        expect(made.stderr).toBe("");
      }
      return core;
    };

    // What the page tells to edit: the Core's address comes with the substitution, and the drill's service is allowed.
    writeFileSync(
      folder.file("etc/edge.yaml"),
      moved(EXAMPLE).replace("services: [billing]", "services: [billing, drill]"),
    );
    const blocks = [...PAGE.matchAll(/(<!-- not run: [^\n]*\n)?```sh\n(.*?)```/gs)]
      .filter(([, isNotRun]) => isNotRun === undefined)
      .map(([, , block]) => moved(block!));
    expect(blocks.length).toBeGreaterThan(9);
    let core: Running | undefined;
    const outputs: string[] = [];
    try {
      for (const block of blocks) {
        const { code, stdout, stderr } = run(["-e", "-c", block], { command: "sh", cwd: folder.path, env });
        expect({ block, code, said: code === 0 ? "" : stdout + stderr }).toEqual({ block, code: 0, said: "" });
        outputs.push(stdout);
        if (block.includes("pki init")) core = await startCore();
      }
    } finally {
      run(["stop"], { command: `${bin}/systemctl`, env });
      await core?.stop("SIGKILL");
    }
    const said = (part: string): string => outputs[blocks.findIndex((block) => block.includes(part))]!;
    expect(said("status --edge")).toMatch(/ready +yes/);
    expect(said("create \\")).toContain('"wrapped"');
    expect(said("/metrics")).toContain("crypto_edge_leases 1");
    expect(said("--reason drill")).toContain('"key_revoked"');
    expect(said("audit verify")).toContain("nothing is missing or altered");
    // The figures of the page.
    const [, resident] = /^process_resident_memory_bytes (\d+)/m.exec(said("/metrics"))!;
    expect(Number(resident)).toBeLessThan(150e6);
    const audit = readFileSync(folder.file("log/audit.jsonl"), "utf8").trimEnd().split("\n");
    const mean = audit.join("\n").length / audit.length;
    expect(mean).toBeGreaterThan(250);
    expect(mean).toBeLessThan(500);
  });

  test("names no metric that is not there, and no error", () => {
    const reference = metricsReferencePage();
    const rules = readFileSync(resolve(import.meta.dir, "../../deploy/prometheus/rules.yaml"), "utf8");
    const named = new Set([...(PAGE + rules).matchAll(/crypto_edge_[a-z_]+/g)].map(([name]) => name));
    expect(named.size).toBeGreaterThan(15);
    for (const name of named) {
      const series = name.replace(/_(bucket|count|sum)$/, "");
      expect([name, reference.includes(`\`${name}\``) || reference.includes(`\`${series}\``)]).toEqual([name, true]);
    }
    const errors = PAGE.slice(PAGE.indexOf("### What to do for each error"), PAGE.indexOf("## Change things"));
    const codes = [...errors.matchAll(/^\| (`[a-z_`, ]+) \|/gm)].flatMap(([, cell]) => cell!.split(", "));
    expect(codes.length).toBeGreaterThan(5);
    expect(codes.filter((code) => !Object.hasOwn(HTTP_STATUS, code.replaceAll("`", "")))).toEqual([]);
    expect(PAGE).toContain(`crypto-edge_${VERSION}_amd64.deb`);
  });
});
