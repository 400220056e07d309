import { expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { createThrowAwayPki } from "../../src/base/pki/throw-away.ts";
import { freePort } from "../support/free-port.ts";
import { until } from "../support/until.ts";

/** For a busy machine. */
setDefaultTimeout(90_000);

test("a Core's certificates follow the disk: taken up when the pair fits, the old one kept while it does not", async () => {
  const folder = mkdtempSync(join(tmpdir(), "serve-core-"));
  const first = await createThrowAwayPki("example.org");
  const second = await createThrowAwayPki("example.org");
  const write = (name: string, text: string | Uint8Array): void =>
    writeFileSync(join(folder, name), text, { mode: 0o600 });
  write("core.pem", first.core.cert);
  write("core.key", first.core.key);
  write("ca.pem", first.core.clientCa);
  write("master.key", randomBytes(32));
  const [port, watchPort, consolePort] = [await freePort(), await freePort(), await freePort()];
  write(
    "core.yaml",
    `listen: "127.0.0.1:${port}"
database: core.db
master_key: { file: master.key }
tls: { cert: core.pem, key: core.key, client_ca: ca.pem }
metrics: { listen: "127.0.0.1:${watchPort}" }
console: { listen: "127.0.0.1:${consolePort}" }
`,
  );
  const child = Bun.spawn(
    [process.execPath, join(import.meta.dir, "../../src/main.ts"), "core", "serve", "--config", "core.yaml"],
    { cwd: folder, env: { PATH: process.env.PATH ?? "" }, stdout: "pipe", stderr: "pipe" },
  );
  let log = "";
  for (const stream of [child.stdout, child.stderr]) {
    void (async () => {
      for await (const chunk of stream) log += Buffer.from(chunk).toString();
    })();
  }
  const edge = await first.edge("edge-1");
  const shown = (at = port): Promise<string | undefined> =>
    new Promise((resolve) => {
      const socket = connect({ host: "127.0.0.1", port: at, ...edge, rejectUnauthorized: false }, () => {
        resolve(socket.getPeerCertificate().fingerprint256);
        socket.destroy();
      });
      socket.on("error", () => resolve(undefined));
    });
  try {
    await until(() => log.includes("core: ready"), { timeoutMs: 60_000, everyMs: 50 });
    const before = await shown();
    expect(before).toBeString();
    expect(await shown(consolePort)).toBe(before);
    // The certificate alone: it has no key yet.
    write("core.pem", second.core.cert);
    await until(() => log.includes("changed files are no good yet"), { timeoutMs: 60_000, everyMs: 50 });
    expect(await shown()).toBe(before);
    write("core.key", second.core.key);
    await until(async () => ((await shown()) ?? before) !== before, { timeoutMs: 60_000, everyMs: 50 });
    expect(await shown(consolePort)).toBe(await shown());
    expect(await (await fetch(`http://127.0.0.1:${watchPort}/metrics`)).text()).toMatch(
      /crypto_core_certificate_days_left\{role="the Core's listener",file="[^"]+core\.pem"\} \d/,
    );
    expect((await fetch(`http://127.0.0.1:${watchPort}/readyz`)).status).toBe(200);
  } finally {
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    rmSync(folder, { recursive: true, force: true });
  }
});
